"""The page where an order is paid, and the way back from it to the cart."""

from typing import Final

from aiohttp import web

from models import ids
from models.commands import CancelPayment, CommandType
from models.errors import StripeUnavailableError
from models.graphs import PaymentStatus
from models.order import PLACED
from models.payment import PaymentRecord
from tables import NotOwnerError, NotReadyError, StoredRecord
from web.api import orders
from web.api.order_views import OrderView
from web.api.schemas import CancelPaymentBody
from web.http import auth
from web.http.commands import (
    CommandRequest,
    OutcomePendingError,
    forwarded_to_owner,
    is_rebalancing,
    send_without_waiting,
)
from web.http.context import CONTEXT, ORDERS, PAYMENTS, Context
from web.http.params import order_id_of
from web.http.problems import ProblemError
from web.http.tokens import Role
from web.pages import interim
from web.pages.forms import read_form
from web.pages.render import render
from web.pages.shop.cart import cart_of, keep_cart
from web.pages.shop.order_progress import UNPAID

CHANGE_KEY: Final = "changed-by-customer"
"""Key of the cancel of an order that is given up for another: it is cancelled once."""
PLACE: Final = "place"
"""Action of the command that places an order."""
DETAILS_HASH_PARAM: Final = "sent"
"""Parameter of the payment page: the beginning of the hash of the details that were sent to an order that
nobody answered for."""
SENT_CHARS: Final = 16


async def show_payment(request: web.Request) -> web.StreamResponse:
    """Where the card is entered, or what has become of the payment."""
    context, order_id, _, forwarded = await interim.reader(request, *orders.PARTS)
    if forwarded is not None:
        return forwarded
    view = orders.joined(context, order_id)
    if view.status not in UNPAID:
        raise web.HTTPSeeOther(f"/orders/{order_id}")
    if not_opened(context.record(PAYMENTS, order_id)):
        raise ProblemError("PAYMENT_NOT_OPENED")
    step = payment_step(view)
    secret = ""
    if step == "action" and view.payment:
        # A reload in the middle of the bank's question: Stripe.js needs the secret to ask again.
        try:
            secret = await context.deps.client_secret(view.payment.stripe_intent_id)
        except StripeUnavailableError:
            step = "checking"
    return render(
        request,
        "pay.html",
        stripe=context.deps.stripe_js,
        stripe_url=context.deps.stripe_js.script_url,
        publishable_key=context.deps.publishable_key,
        view=view,
        step=step,
        client_secret=secret,
        has_other_details=_has_other_details(request, context, order_id),
    )


def _has_other_details(request: web.Request, context: Context, order_id: str) -> bool:
    """Whether the order was placed with other details than those sent last, while nobody answered."""
    sent, record = request.query.get(DETAILS_HASH_PARAM), context.record(ORDERS, order_id)
    placed = ids.command_id(order_id, PLACE, cart_of(request).key)
    outcome = record.outcomes.get(placed) if record else None
    return bool(sent and outcome and not outcome.body_hash.startswith(sent))


def not_opened(record: StoredRecord | None) -> bool:
    """Whether Stripe has refused to open the payment."""
    state = record.state if record else None
    if not isinstance(state, PaymentRecord) or state.payment is not None:
        return False
    return bool(state.work.initiation and state.work.initiation.error)


def payment_step(view: OrderView) -> str:
    """What the customer can do about the payment: opening, card, action, checking."""
    payment = view.payment
    if view.status == PLACED or payment is None:
        return "opening"
    if payment.status == PaymentStatus.PROCESSING:
        return "action" if payment.next_action else "checking"
    if payment.status in {PaymentStatus.PENDING, PaymentStatus.FAILED}:
        return "card"
    return "checking"


async def change_order(request: web.Request) -> web.StreamResponse:
    """Give up an order that is not paid, and go back to its cart."""
    context = request.app[CONTEXT]
    order_id = order_id_of(request)
    identity = await auth.authorize(request, context.deps, order_id, Role.CUSTOMER)
    await read_form(request)
    body = CancelPaymentBody(orderId=order_id, reason="CHANGED_MIND")
    write = CommandRequest(
        order_id=order_id, service=PAYMENTS, command_type=CommandType.CANCEL_PAYMENT,
        data=CancelPayment(reason=body.reason), action="cancel-payment", key=CHANGE_KEY,
        body=body, identity=identity,
    )  # fmt: skip
    try:
        forwarded = await forwarded_to_owner(context, request, order_id)
        if forwarded is not None:
            return forwarded
        await interim.cancel_payment(context, write)
    except OutcomePendingError:
        raise web.HTTPSeeOther(f"/orders/{order_id}") from None
    except (ProblemError, NotOwnerError, NotReadyError) as error:
        if not is_rebalancing(error):
            raise
        await send_without_waiting(context, write)
        raise web.HTTPSeeOther(f"/orders/{order_id}") from None
    cart = cart_of(request)
    response = web.Response(status=303, headers={"Location": "/checkout?back=cancelled"})
    if cart.order_id == order_id:
        keep_cart(response, context.deps, cart.renewed())
    return response
