"""The page where an order is paid, and the way back from it to the cart."""

from typing import Final

from aiohttp import web

from models import ids
from models.errors import StripeUnavailableError
from models.graphs import PaymentStatus
from models.order import PLACED
from models.payment import PaymentRecord
from tables import StoredRecord
from web.api import orders, payments
from web.api.order_views import OrderView
from web.api.schemas import CancelPaymentBody
from web.http.answers import Accepted
from web.http.commands import CommandRequest, is_rebalancing, send_without_waiting
from web.http.context import ORDERS, PAYMENTS, Context, state_of
from web.http.problems import ProblemError
from web.http.route import AnyCall
from web.http.tokens import Identity
from web.pages.render import render
from web.pages.shop.cart import cart_of, keep_cart
from web.pages.shop.order_progress import UNPAID
from web.pages.shop.tracking import to_order

CHANGE_KEY: Final = "changed-by-customer"
"""Key of the cancel of an order that is given up for another: it is cancelled once."""
PLACE: Final = "place"
"""Action of the command that places an order."""
DETAILS_HASH_PARAM: Final = "sent"
"""Parameter of the payment page: the beginning of the hash of the details that were sent to an order that
nobody answered for."""
SENT_CHARS: Final = 16


async def show_payment(call: AnyCall) -> web.Response:
    """Where the card is entered, or what has become of the payment."""
    context, order_id = call.context, call.order_id
    view = orders.joined(context, order_id)
    if view.status not in UNPAID:
        raise web.HTTPSeeOther(f"/orders/{order_id}")
    if not_opened(context.record(PAYMENTS, order_id)):
        raise ProblemError("PAYMENT_NOT_OPENED")
    step, secret = payment_step(view), ""
    if step == "action" and view.payment:
        # A reload in the middle of the bank's question: Stripe.js needs the secret to ask again.
        try:
            secret = await context.deps.client_secret(view.payment.stripe_intent_id)
        except StripeUnavailableError:
            step = "checking"
    stripe = context.deps.stripe_js
    return render(
        call.request, "pay.html", stripe=stripe, stripe_url=stripe.script_url, view=view, step=step,
        publishable_key=context.deps.publishable_key, client_secret=secret,
        payment_methods=",".join(context.deps.payment_methods or ()),
        has_other_details=_has_other_details(call),
    )  # fmt: skip


def _has_other_details(call: AnyCall) -> bool:
    """Whether the order was placed with other details than those sent last, while nobody answered."""
    sent = call.request.query.get(DETAILS_HASH_PARAM)
    record = call.context.record(ORDERS, call.order_id)
    placed = ids.command_id(call.order_id, PLACE, cart_of(call.request).key)
    outcome = record.outcomes.get(placed) if record else None
    return bool(sent and outcome and not outcome.body_hash.startswith(sent))


def not_opened(record: StoredRecord | None) -> bool:
    """Whether Stripe has refused to open the payment."""
    state = state_of(record, PaymentRecord)
    initiation = state.work.initiation
    return state.payment is None and bool(initiation and initiation.error)


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


def give_up(context: Context, order_id: str, identity: Identity) -> CommandRequest:
    """The command that cancels an unpaid order's payment because the customer wants another order."""
    body = CancelPaymentBody(orderId=order_id, reason="CHANGED_MIND")
    return payments.cancel_command(context, CHANGE_KEY, body, identity)


def change_order(call: AnyCall) -> CommandRequest:
    """Give up an order that is not paid."""
    return give_up(call.context, call.order_id, call.identity)


def back_to_cart(call: AnyCall, result: object) -> web.Response:
    """Leads back to the order's cart, once the order is given up."""
    if isinstance(result, Accepted):
        return to_order(call, result)
    cart = cart_of(call.request)
    response = web.Response(status=303, headers={"Location": "/checkout?back=cancelled"})
    if cart.order_id == call.order_id:
        keep_cart(response, call.context.deps, cart.renewed())
    return response


async def change_later(call: AnyCall, error: Exception) -> web.Response:
    """Leave it in Kafka while nobody answers for the order."""
    if not is_rebalancing(error):
        raise error
    await send_without_waiting(call.context, change_order(call))
    return to_order(call, None)
