"""An order's own page: where it is, live; its cancel with what comes back."""

import uuid
from dataclasses import replace
from typing import Final

from aiohttp import web

from web.api import orders
from web.http.commands import CommandRequest, is_rebalancing, send_without_waiting
from web.http.params import order_id_of
from web.http.problems import ProblemError
from web.http.route import AnyCall, of_order
from web.http.tokens import Identity, Role
from web.pages.render import render
from web.pages.shop.cart import Cart, cart_of, keep_cart
from web.pages.shop.order_progress import (
    CANCEL_REASONS,
    REFUND_DURATION_TEXT,
    UNPAID,
    gives_refund,
    progress_of,
)

STRIPE_RETURN_PARAM: Final = "payment_intent_client_secret"
"""What Stripe adds to the address when it sends a customer back."""
ORDER_READERS: Final = of_order(Role.CUSTOMER, Role.OPERATOR)


async def _without_secret(call: AnyCall) -> Identity | None:
    if STRIPE_RETURN_PARAM in call.request.query:
        raise web.HTTPSeeOther(f"/orders/{order_id_of(call.request)}")
    return await ORDER_READERS.check(call)


BACK_FROM_BANK: Final = replace(ORDER_READERS, check=_without_secret)
"""A bank's page sends customers back with Stripe's secret in the address: it must not stay there."""


def show_order(call: AnyCall) -> web.Response:
    """The order as it stands; the part that changes is swapped when the stream says so."""
    return _order_page(call, "order.html")


def show_live(call: AnyCall) -> web.Response:
    """The part of the order's page that changes."""
    return _order_page(call, "order_live.html")


def _order_page(call: AnyCall, template: str) -> web.Response:
    view = orders.joined(call.context, call.order_id)
    response = render(
        call.request,
        template,
        view=view,
        progress=progress_of(view),
        last_event_id=orders.stream_event_id(view),
    )
    if view.status not in UNPAID and cart_of(call.request).order_id == call.order_id:
        keep_cart(response, call.context.deps, Cart())
    return response


def show_cancel(call: AnyCall) -> web.Response:
    """What a cancel means for the customer's money, and the button."""
    view = orders.joined(call.context, call.order_id)
    if not progress_of(view).can_cancel:
        raise web.HTTPSeeOther(f"/orders/{call.order_id}")
    return render(
        call.request, "cancel.html", view=view, reasons=CANCEL_REASONS,
        money_takes=REFUND_DURATION_TEXT, gives_back=gives_refund(view.payment),
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
