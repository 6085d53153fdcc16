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
from models.errors import UnavailableError
from models.graphs import OrderStatus
from tables import NotOwnerError, NotReadyError
from web.api import orders, payments
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
from web.http.context import CONTEXT, ORDERS, PAYMENTS, Context
from web.http.problems import RETRY_AFTER_S, ProblemError
from web.http.tokens import Identity, Role
from web.pages.errors import PROBLEM_TEXTS
from web.pages.forms import read_form
from web.pages.render import render
from web.pages.shop.cart import Cart, PricedCart, keep_cart, priced_cart
from web.pages.shop.order_progress import UNPAID
from web.pages.shop.payment import (
    CHANGE_KEY,
    DETAILS_HASH_PARAM,
    PLACE,
    SENT_CHARS,
    not_opened,
    payment_step,
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
CANT_ORDER: Final = (
    "We can't take orders right now; nothing was charged. Press the button again in a moment: pressed twice, "
    "it is still one order."
)

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
