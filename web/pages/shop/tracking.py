"""An order's own page: where it is, live; its cancel with what comes back."""

import uuid
from typing import Final

from aiohttp import web

from models.commands import CancelOrder, CommandType
from tables import NotOwnerError, NotReadyError
from web.api import orders
from web.api.schemas import CancelOrderBody
from web.http import auth
from web.http.bodies import validated
from web.http.commands import (
    CommandRequest,
    OutcomePendingError,
    check_order_is_known,
    forwarded_to_owner,
    is_rebalancing,
    one_request_per_key,
    send_without_waiting,
    settle,
)
from web.http.context import CONTEXT, ORDERS
from web.http.params import order_id_of
from web.http.problems import ProblemError
from web.http.tokens import Role
from web.pages import interim
from web.pages.forms import read_form
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


async def show_order(request: web.Request) -> web.StreamResponse:
    """The order as it stands; the part that changes is swapped when the stream says so.

    A bank's page sends customers back with Stripe's secret in the address, where it must not stay.
    """
    if STRIPE_RETURN_PARAM in request.query:
        raise web.HTTPSeeOther(f"/orders/{order_id_of(request)}")
    return await _order_page(request, "order.html")


async def show_live(request: web.Request) -> web.StreamResponse:
    """The part of the order's page that changes."""
    return await _order_page(request, "order_live.html")


async def _order_page(request: web.Request, template: str) -> web.StreamResponse:
    context, order_id, _, forwarded = await interim.reader(request, *orders.PARTS)
    if forwarded is not None:
        return forwarded
    view = orders.joined(context, order_id)
    response = render(
        request,
        template,
        view=view,
        progress=progress_of(view),
        last_event_id=orders.stream_event_id(view),
    )
    if view.status not in UNPAID and cart_of(request).order_id == order_id:
        keep_cart(response, context.deps, Cart())
    return response


async def show_cancel(request: web.Request) -> web.StreamResponse:
    """What a cancel means for the customer's money, and the button."""
    context, order_id, _, forwarded = await interim.reader(request, *orders.PARTS)
    if forwarded is not None:
        return forwarded
    view = orders.joined(context, order_id)
    if not progress_of(view).can_cancel:
        raise web.HTTPSeeOther(f"/orders/{order_id}")
    return render(
        request, "cancel.html", view=view, reasons=CANCEL_REASONS, money_takes=REFUND_DURATION_TEXT,
        gives_back=gives_refund(view.payment), key=str(uuid.uuid4()), wrong="",
    )  # fmt: skip


async def cancel(request: web.Request) -> web.StreamResponse:
    """Cancel the order, then show it."""
    context = request.app[CONTEXT]
    order_id = order_id_of(request)
    identity = await auth.authorize(request, context.deps, order_id, Role.CUSTOMER)
    form = await read_form(request)
    body = validated(CancelOrderBody, {"reason": form.get("reason", "")})
    write = CommandRequest(
        order_id=order_id, service=ORDERS, command_type=CommandType.CANCEL_ORDER,
        data=CancelOrder(reason=body.reason), action="cancel-order", key=form.get("key", "page"),
        body=body, identity=identity,
    )  # fmt: skip
    try:
        forwarded = await forwarded_to_owner(context, request, order_id)
        if forwarded is not None:
            return forwarded
        check_order_is_known(context, order_id)
        with one_request_per_key(context, write):
            await settle(context, write)
    except OutcomePendingError:
        pass  # it is in Kafka, and the order's page will show it
    except (ProblemError, NotOwnerError, NotReadyError) as error:
        if is_rebalancing(error):
            await send_without_waiting(context, write)
        elif not (isinstance(error, ProblemError) and error.status in {409, 422}):
            raise
        # Else the order was faster, or the button was pressed twice: its page says how it stands.
    raise web.HTTPSeeOther(f"/orders/{order_id}")
