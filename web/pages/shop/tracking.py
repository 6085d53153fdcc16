"""An order's own page: where it is, live; its cancel with what comes back; the links that open it."""

import time
import uuid
from dataclasses import replace
from typing import Final

from aiohttp import web

from web.api import orders
from web.http import auth
from web.http.commands import CommandRequest, is_rebalancing, send_without_waiting
from web.http.params import order_id_of
from web.http.problems import ProblemError
from web.http.route import AnyCall, of_order
from web.http.tokens import NOTIFICATION_LINK_SUBJECT, BadTokenError, Identity, Role
from web.pages.render import render
from web.pages.shop import order_progress
from web.pages.shop.cart import Cart, cart_of, keep_cart

STRIPE_RETURN_PARAM: Final = "payment_intent_client_secret"
"""What Stripe adds to the address when it sends a customer back."""
ORDER_READERS: Final = of_order(Role.CUSTOMER, Role.OPERATOR)


async def _without_secret(call: AnyCall) -> Identity | None:
    if STRIPE_RETURN_PARAM in call.request.query:
        raise web.HTTPSeeOther(f"/orders/{order_id_of(call.request)}")
    return await ORDER_READERS.check(call)


BACK_FROM_BANK: Final = replace(ORDER_READERS, check=_without_secret)
"""A bank's page sends customers back with Stripe's secret in the address: it must not stay there."""


def show_order(template: str, call: AnyCall) -> web.Response:
    """The order as it stands, or the part of its page that is swapped when the stream says so."""
    view = orders.joined(call.context, call.order_id)
    response = render(
        call.request, template, view=view, progress=order_progress.progress_of(view),
        last_event_id=orders.stream_event_id(view),
        delivery_code=orders.delivery_code(call.context, view, call.identity),
    )  # fmt: skip
    if view.status not in order_progress.UNPAID and cart_of(call.request).order_id == call.order_id:
        keep_cart(response, call.context.deps, Cart())
    return response


def show_cancel(call: AnyCall) -> web.Response:
    """What a cancel means for the customer's money, and the button."""
    view = orders.joined(call.context, call.order_id)
    if not order_progress.progress_of(view).can_cancel:
        raise web.HTTPSeeOther(f"/orders/{call.order_id}")
    return render(
        call.request, "cancel.html", view=view, reasons=order_progress.CANCEL_REASONS,
        money_takes=order_progress.REFUND_DURATION_TEXT, gives_back=order_progress.gives_refund(view.payment),
        key=str(uuid.uuid4()), wrong="",
    )  # fmt: skip


def cancel(call: AnyCall) -> CommandRequest:
    """Cancel the order."""
    call.key = call.fields.get("key", "page")
    return orders.cancel_order(call)


def to_order(call: AnyCall, _: object) -> web.Response:
    """Leads to the order's page, which shows what has become of it."""
    return web.Response(status=303, headers={"Location": f"/orders/{call.order_id}"})


async def cancel_later(call: AnyCall, error: Exception) -> web.Response:
    """Leave the cancel in Kafka while nobody answers for the order."""
    if is_rebalancing(error):
        await send_without_waiting(call.context, cancel(call))
    elif not (isinstance(error, ProblemError) and error.status in {409, 422}):
        raise error
    # Else the order was faster, or the button was pressed twice: its page says how it stands.
    return to_order(call, None)


def open_link(page: str, call: AnyCall) -> web.Response:
    """Let the browser in for as long as a notification's link is good. Raises ProblemError (404).

    page: below the order's own; where it is paid, one that needs no payment shows its page.

    No table is asked, so the link works while partitions move; a browser that can open the order
    already keeps what it has, which is good for longer.
    """
    deps, request = call.context.deps, call.request
    try:
        order_id, until_s = deps.order_tokens.order_of_link(call.id_of("link"))
    except BadTokenError:
        raise ProblemError("LINK_INVALID") from None
    response = web.Response(status=303, headers={"Location": f"/orders/{order_id}{page}"})
    if not auth.has_order_cookie(request, deps, order_id):
        token = deps.order_tokens.issue(NOTIFICATION_LINK_SUBJECT, order_id, until_s)
        remaining_s = max(1, until_s - int(time.time()))
        auth.set_order_cookie(request, response, deps, order_id, token, remaining_s)
    return response
