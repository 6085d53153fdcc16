"""From the cart to an order: delivery details, and the order placed.

Placing is create-intent with the cart's key, so it may be repeated; the card is entered on the order's
own address, so the back button, a reload and a second tab always find the order as it stands.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from models import ids
from models.commands import CommandType
from models.errors import UnavailableError
from models.graphs import OrderStatus
from web.api import orders, payments
from web.api.pricing import priced
from web.api.schemas import CreateIntent
from web.http import auth, commands
from web.http.admission import WorkClass
from web.http.bodies import body_hash, validated
from web.http.context import ORDERS, PAYMENTS
from web.http.problems import RETRY_AFTER_S, ProblemError
from web.http.route import AnyCall, Owner, owner_of_order
from web.http.tokens import Identity, Role
from web.languages import gettext, language
from web.pages.errors import PROBLEM_TEXTS
from web.pages.render import render
from web.pages.shop import payment
from web.pages.shop.cart import Cart, PricedCart, keep_cart, priced_cart
from web.pages.shop.order_progress import UNPAID

log = logging.getLogger("tiffin.web.pages")

FIELDS: Final = {
    "line1": ("address.line1", "Enter your street and house number."),
    "line2": ("address.line2", "Keep this under 200 characters."),
    "city": ("address.city", "Enter your city."),
    "postal_code": ("address.postalCode", "Enter your postal code, up to 20 characters."),
    "name": ("contact.name", "Enter the name the courier should ask for."),
    "email": ("contact.email", "Enter an email address, such as asha@example.com."),
    "phone": ("contact.phone", "Enter a phone number of 5 to 15 digits."),
    "allergies": ("allergies", "Keep this under 300 characters."),
    "notes": ("notes", "Keep this under 300 characters."),
}
"""Field of the form, in its order -> field of create-intent, what to say when it is not accepted."""
CARD_NUMBER_TEXT: Final = (
    "One of the fields contains a card number. You will enter your card on the next page."
)
CANT_ORDER: Final = (
    "We can't take orders right now, and you have not been charged. Press the button again in a moment: "
    "pressing it twice still makes only one order."
)

BUSY_KITCHENS: Final = (
    "A lot of people are ordering right now, and you have not been charged. This page will try again in a "
    "moment, or press the button: pressing it twice still makes only one order."
)

NOTICES: Final = {
    "cancelled": "You have not been charged. Change anything you like and order again."
}


@dataclass(frozen=True, slots=True)
class Placing:
    """An order that is being placed."""

    cart: PricedCart
    command: commands.CommandRequest


def show_checkout(call: AnyCall) -> web.Response:
    """The cart and the form of delivery details."""
    notice = NOTICES.get(call.request.query.get("back", ""), "")
    return _form(call, priced_cart(call.request), notice=notice)


async def prepare(call: AnyCall) -> Placing | web.Response:
    """The order that the cart makes; else the form with what is wrong."""
    cart, fields = priced_cart(call.request), call.fields
    if not cart.lines:
        return _form(call, cart)
    if fields.get("cart") != cart.fingerprint:
        wrong = gettext(
            "Your cart has changed since you opened this page. Check it, then continue."
        )
        return _form(call, cart, wrong=wrong)
    try:
        body = validated(CreateIntent, _body(cart, fields))
        customer = auth.guest_or_derived(call.request, cart.cart.key)
        data = priced(call.context.deps.catalogue, body, customer, language.get())
    except ProblemError as problem:
        return _form(call, cart, **_explained(problem, cart))
    call.order_id = ids.order_id(customer, cart.cart.key)
    return Placing(cart, commands.CommandRequest(
        order_id=call.order_id, service=ORDERS, command_type=CommandType.PLACE_ORDER, data=data,
        action=payment.PLACE, key=cart.cart.key, body=body, identity=Identity(Role.CUSTOMER, customer),
        work=WorkClass.NEW_ORDER,
    ))  # fmt: skip


def owner_of_cart(call: AnyCall) -> Owner | None:
    """The worker where the order will be kept; none where there is nothing to be placed."""
    return owner_of_order(call) if isinstance(call.subject, Placing) else None


async def place(call: AnyCall) -> web.Response:
    """Place the order, then show where to pay it."""
    if isinstance(call.subject, web.Response):
        return call.subject
    placing: Placing = call.subject
    context, command, cart = call.context, placing.command, placing.cart
    bound_s = context.deps.bounds.command_s
    try:
        with commands.one_request_per_key(context, command):
            await commands.settle(context, command)
            record = await commands.wait(
                context, PAYMENTS, call.order_id, payments.is_opened, bound_s
            )
        if payment.not_opened(record):
            response = _form(call, cart, wrong=PROBLEM_TEXTS["PAYMENT_NOT_OPENED"][1])
            keep_cart(response, context.deps, cart.cart.renewed())
            return response
    except commands.OutcomePendingError:  # it is in Kafka: the order's page waits for it
        return _to_payment(call, placing, is_decided=False)
    except ProblemError as problem:
        if problem.code == "IDEMPOTENCY_KEY_REUSED":
            return await _other_details(call, placing)
        if problem.code != "IDEMPOTENCY_KEY_IN_USE":
            raise
    return _to_payment(call, placing)


async def place_later(call: AnyCall, error: Exception) -> web.Response:
    """Leave the order in Kafka while nobody answers for it; say so if that can't be reached either."""
    if not isinstance(call.subject, Placing):
        raise error
    if isinstance(error, ProblemError) and error.code == "OVERLOADED":
        pause_s = error.retry_after_s or RETRY_AFTER_S
        return _busy(call, call.subject.cart, BUSY_KITCHENS, pause_s, again_s=pause_s)
    try:
        if not commands.is_rebalancing(error):
            raise error
        await commands.send_without_waiting(call.context, call.subject.command)
    except UnavailableError as unavailable:
        log.warning("an order could not be placed", extra={"reason": type(unavailable).__name__})
        return _busy(call, call.subject.cart, CANT_ORDER, RETRY_AFTER_S)
    return _to_payment(call, call.subject, is_decided=False)


def _to_payment(call: AnyCall, placing: Placing, *, is_decided: bool = True) -> web.Response:
    """Lead to where the order is paid; while it is not decided, that page tries again by itself."""
    deps, order_id, now = call.context.deps, call.order_id, placing.cart.cart
    customer = placing.command.identity.subject
    location = f"/orders/{order_id}/pay"
    if not is_decided:
        sent = body_hash(placing.command.body)[: payment.SENT_CHARS]
        location += f"?{urlencode({payment.DETAILS_HASH_PARAM: sent})}"
    response = web.Response(status=303, headers={"Location": location})
    token = deps.order_tokens.issue(customer, order_id)
    auth.set_guest_cookie(call.request, response, deps, customer)
    auth.set_order_cookie(call.request, response, deps, order_id, token)
    keep_cart(response, deps, Cart(now.restaurant_id, now.quantities, now.key, order_id))
    return response


async def _other_details(call: AnyCall, placing: Placing) -> web.Response:
    """This cart was placed before with other details: after a step back, or from another tab.

    An order that waits for its card is given up for the new one; of one that is being paid, or is
    paid, the customer is told.
    """
    earlier = orders.joined(call.context, call.order_id)
    is_open = payment.payment_step(earlier) in {"opening", "card"} and earlier.status in UNPAID
    if not (is_open or earlier.status == OrderStatus.CANCELLED):
        wrong = gettext("You have already ordered this cart with different details.")
        return _form(call, placing.cart, wrong=wrong, earlier=call.order_id)
    if is_open:
        cancel = payment.give_up(call.context, call.order_id, placing.command.identity)
        await call.context.deps.sender.send(cancel.command())
    # The browser sends the form again, with the cart's new key.
    response = web.Response(status=307, headers={"Location": "/checkout"})
    keep_cart(response, call.context.deps, placing.cart.cart.renewed())
    return response


def _body(cart: PricedCart, form: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {"restaurantId": cart.cart.restaurant_id, "items": cart.items()}
    for field, (name, _) in FIELDS.items():
        part, _, inner = name.partition(".")
        value = form.get(field, "")
        if inner:
            body.setdefault(part, {})[inner] = value
        elif value:
            body[part] = value
    return body


def _explained(problem: ProblemError, cart: PricedCart) -> dict[str, Any]:
    """What to say beside each field, and above the form; never in the API's words."""
    if problem.code == "CARD_NUMBER_REFUSED":
        wrong = (
            "One of the fields contains a card number. You will enter your card on the next page."
        )
        return {"wrong": wrong}
    names = {name for name, _ in problem.errors}
    errors = {field: words for field, (name, words) in FIELDS.items() if name in names}
    if errors:
        return {"errors": errors, "wrong": gettext("Some details are missing or incorrect.")}
    wrong = cart.refusal or gettext("This cart can't be ordered as it is. Check the dishes in it.")
    return {"wrong": wrong}


def _busy(
    call: AnyCall, cart: PricedCart, wrong: str, pause_s: int, *, again_s: int | None = None
) -> web.Response:
    """503, and the form with all that was entered. again_s: after so long the page sends it by itself."""
    response = _form(call, cart, wrong=wrong, again_s=again_s)
    response.set_status(503)
    response.headers["Retry-After"] = str(pause_s)
    return response


def _form(call: AnyCall, cart: PricedCart, **values: Any) -> web.Response:
    shown = {"errors": {}, "notice": "", "wrong": "", "earlier": "", "again_s": None, **values}
    return render(call.request, "checkout.html", priced=cart, form=call.fields, **shown)
