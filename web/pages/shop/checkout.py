"""From the cart to a paid order: delivery details, the order placed, the card entered.

Placing is create-intent with the cart's key, so it may be repeated; the card is entered on the order's
own address, so the back button, a reload and a second tab always find the order as it stands.
"""

import logging
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from models import ids
from models.commands import CancelPayment, CommandType
from models.errors import StripeUnavailableError, UnavailableError
from models.graphs import PAID_ORDER, OrderStatus, PaymentStatus
from models.order import PLACED
from models.payment import PaymentRecord
from tables import NotOwnerError, NotReadyError, StoredRecord
from web.api import orders, payments
from web.api.order_views import OrderView
from web.api.pricing import priced
from web.api.schemas import CancelPaymentBody, CreateIntent
from web.http import auth
from web.http.bodies import body_hash, validated
from web.http.commands import (
    CommandRequest,
    OutcomePendingError,
    forwarded_to_owner,
    is_rebalancing,
    one_request_per_key,
    send_without_waiting,
    settle,
    wait,
)
from web.http.context import (
    CONTEXT,
    ORDERS,
    PAYMENTS,
    Context,
)
from web.http.params import order_id_of
from web.http.problems import RETRY_AFTER_S, ProblemError
from web.http.tokens import Identity, Role
from web.pages.errors import PROBLEM_TEXTS
from web.pages.forms import read_form
from web.pages.render import render
from web.pages.shop.cart import (
    Cart,
    PricedCart,
    cart_of,
    keep_cart,
    priced_cart,
)

log = logging.getLogger("tiffin.web.pages")

FIELDS: Final = {
    "line1": ("address.line1", "Enter the street and the house number."),
    "line2": ("address.line2", "Keep this under 200 characters."),
    "city": ("address.city", "Enter the city."),
    "postal_code": ("address.postalCode", "Enter the postal code, up to 20 characters."),
    "name": ("contact.name", "Enter the name to ask for at the door."),
    "email": ("contact.email", "Enter an email address, such as asha@example.com."),
    "phone": ("contact.phone", "Enter a telephone number of 5 to 15 digits."),
}
"""Field of the form, in its order -> field of create-intent, what to say when it is not accepted."""

CHANGE_KEY: Final = "changed-by-customer"
"""Key of the cancel of an order that is given up for another: it is cancelled once."""

PLACE: Final = "place"
"""Action of the command that places an order."""
DETAILS_HASH_PARAM: Final = "sent"
"""Parameter of the payment page: the beginning of the hash of the details that were sent to an order that
nobody answered for."""
SENT_CHARS: Final = 16
CANT_ORDER: Final = (
    "We can't take orders right now; nothing was charged. Press the button again in a moment: pressed twice, "
    "it is still one order."
)

UNPAID: Final = frozenset({PLACED, OrderStatus.PAYMENT_PENDING, OrderStatus.PAYMENT_FAILED})

NOTICES: Final = {"cancelled": "Nothing was charged. Change what you like and order again."}


async def show_checkout(request: web.Request) -> web.StreamResponse:
    """The cart and the form of delivery details."""
    cart = priced_cart(request)
    notice = NOTICES.get(request.query.get("back", ""), "")
    return render(
        request, "checkout.html", priced=cart, form={}, errors={}, notice=notice, wrong=""
    )


async def place(request: web.Request) -> web.StreamResponse:
    """Place the order that the cart makes, then show where to pay it."""
    context = request.app[CONTEXT]
    form = await read_form(request)
    cart = priced_cart(request)
    if not cart.lines:
        return render(
            request, "checkout.html", priced=cart, form=form, errors={}, notice="", wrong=""
        )
    if form.get("cart") != cart.fingerprint:
        wrong = "Your cart has changed since this page was shown. Look at it again, then go on."
        return _again(request, cart, form, {}, wrong)
    try:
        body = validated(CreateIntent, _body(cart, form))
        customer = auth.guest_or_derived(request, cart.cart.key)
        data = priced(context.deps.catalogue, body, customer)
    except ProblemError as problem:
        return _again(request, cart, form, *_explained(problem, cart))
    order_id = ids.order_id(customer, cart.cart.key)
    write = CommandRequest(
        order_id=order_id, service=ORDERS, command_type=CommandType.PLACE_ORDER, data=data,
        action=PLACE, key=cart.cart.key, body=body, identity=Identity(Role.CUSTOMER, customer),
    )  # fmt: skip
    try:
        return await _at_owner_or_later(request, context, write, cart, form)
    except UnavailableError as error:
        log.warning("an order could not be placed", extra={"reason": type(error).__name__})
        response = _again(request, cart, form, {}, CANT_ORDER)
        response.set_status(503)
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response


async def _at_owner_or_later(
    request: web.Request,
    context: Context,
    write: CommandRequest,
    cart: PricedCart,
    form: dict[str, str],
) -> web.StreamResponse:
    """Place it where the order will be kept; while nobody answers there, leave it in Kafka."""
    try:
        forwarded = await forwarded_to_owner(context, request, write.order_id)
        if forwarded is not None:
            return forwarded
        return await _placed(request, context, write, cart, form)
    except (ProblemError, NotOwnerError, NotReadyError) as error:
        if not is_rebalancing(error):
            raise
    await send_without_waiting(context, write)
    return _to_payment(request, context, write, cart, is_decided=False)


async def _placed(
    request: web.Request,
    context: Context,
    write: CommandRequest,
    cart: PricedCart,
    form: dict[str, str],
) -> web.StreamResponse:
    try:
        with one_request_per_key(context, write):
            await settle(context, write)
            record = await wait(
                context, PAYMENTS, write.order_id, payments.is_opened, context.deps.bounds.command_s
            )
        if not_opened(record):
            response = _again(request, cart, form, {}, PROBLEM_TEXTS["PAYMENT_NOT_OPENED"][1])
            keep_cart(response, context.deps, cart.cart.renewed())
            return response
    except OutcomePendingError:  # it is in Kafka: the order's page waits for it
        return _to_payment(request, context, write, cart, is_decided=False)
    except ProblemError as problem:
        if problem.code == "IDEMPOTENCY_KEY_REUSED":
            return await _other_details(request, context, write, cart, form)
        if problem.code != "IDEMPOTENCY_KEY_IN_USE":
            raise
    return _to_payment(request, context, write, cart)


def _to_payment(
    request: web.Request,
    context: Context,
    write: CommandRequest,
    cart: PricedCart,
    *,
    is_decided: bool = True,
) -> web.Response:
    """Lead to where the order is paid; while it is not decided, that page tries again by itself."""
    now, customer, order_id = cart.cart, write.identity.subject, write.order_id
    location = f"/orders/{order_id}/pay"
    if not is_decided:
        location += f"?{urlencode({DETAILS_HASH_PARAM: body_hash(write.body)[:SENT_CHARS]})}"
    response = web.Response(status=303, headers={"Location": location})
    token = context.deps.order_tokens.issue(customer, order_id)
    auth.set_guest_cookie(request, response, context.deps, customer)
    auth.set_order_cookie(request, response, context.deps, order_id, token)
    keep_cart(response, context.deps, Cart(now.restaurant_id, now.quantities, now.key, order_id))
    return response


async def _other_details(
    request: web.Request,
    context: Context,
    write: CommandRequest,
    cart: PricedCart,
    form: dict[str, str],
) -> web.StreamResponse:
    """This cart was placed before with other details: after a step back, or from another tab.

    An order that waits for its card is given up for the new one; of one that is being paid, or is
    paid, the customer is told.
    """
    earlier = orders.joined(context, write.order_id)
    is_open = payment_step(earlier) in {"opening", "card"} and earlier.status in UNPAID
    if not (is_open or earlier.status == OrderStatus.CANCELLED):
        wrong = "You have ordered this cart already, with other details."
        return _again(request, cart, form, {}, wrong, earlier=write.order_id)
    if is_open:
        cancel = replace(
            write, service=PAYMENTS, command_type=CommandType.CANCEL_PAYMENT,
            data=CancelPayment(reason="CHANGED_MIND"), action="cancel-payment", key=CHANGE_KEY,
            body=CancelPaymentBody(orderId=write.order_id, reason="CHANGED_MIND"),
        )  # fmt: skip
        await context.deps.sender.send(cancel.command())
    # The browser sends the form again, with the cart's new key.
    response = web.Response(status=307, headers={"Location": "/checkout"})
    keep_cart(response, context.deps, cart.cart.renewed())
    return response


def _body(cart: PricedCart, form: dict[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "restaurantId": cart.cart.restaurant_id, "items": cart.items(), "contact": {}, "address": {}
    }  # fmt: skip
    for field, (place_in_body, _) in FIELDS.items():
        part, name = place_in_body.split(".")
        body[part][name] = form.get(field, "")
    return body


def _explained(problem: ProblemError, cart: PricedCart) -> tuple[dict[str, str], str]:
    """What to say beside each field, and above the form; never in the API's words."""
    if problem.code == "CARD_NUMBER_REFUSED":
        return {}, "One of the fields holds a card number. You give your card on the next page."
    wrong = {field for field, _ in problem.errors}
    errors = {
        field: words for field, (place_in_body, words) in FIELDS.items() if place_in_body in wrong
    }
    if errors:
        return errors, "Some details are missing or not right."
    return {}, cart.refusal or "This cart can't be ordered as it is. Look at its dishes again."


def _again(
    request: web.Request,
    cart: PricedCart,
    form: dict[str, str],
    errors: dict[str, str],
    wrong: str,
    *,
    earlier: str = "",
) -> web.Response:
    return render(
        request, "checkout.html", priced=cart, form=form, errors=errors, notice="",
        wrong=wrong, earlier=earlier,
    )  # fmt: skip


async def show_payment(request: web.Request) -> web.StreamResponse:
    """Where the card is entered, or what has become of the payment."""
    context, order_id, _, forwarded = await orders.reader(request, *orders.PARTS)
    if forwarded is not None:
        return forwarded
    view = orders.joined(context, order_id)
    if view.status in PAID_ORDER or view.status in {OrderStatus.CANCELLED, OrderStatus.REFUNDED}:
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
        with one_request_per_key(context, write):
            await payments.cancelled(context, write)
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
