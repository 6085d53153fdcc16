"""Attempts: what becomes of a PaymentIntent between its confirm and its success or failure.

`authenticated` and `settle` are what the customer and the bank do later. All of it is without an
await: one attempt is never half done.
"""

from __future__ import annotations

import contextlib
from typing import Any

from sandbox.stripe import disputes, objects
from sandbox.stripe.cards import Behaviour, Decline
from sandbox.stripe.errors import DOCS, StripeError, invalid
from sandbox.stripe.state import Resource, State, snapshot

AUTHENTICATION_FAILED = {
    "code": "payment_intent_authentication_failure",
    "doc_url": f"{DOCS}/payment-intent-authentication-failure",
    "message": "We are unable to authenticate your payment method. Please choose a different "
    "payment method and try again.",
    "type": "invalid_request_error",
}


def attach(intent: Resource, method: Resource) -> None:
    """Name the payment method that the next confirm will charge."""
    intent.update(payment_method=method["id"], status="requires_confirmation", next_action=None)


def require_action(
    state: State, intent: Resource, return_url: str | None, *, uses_sdk: bool
) -> None:
    """Send the customer to 3-D Secure, by redirect or through Stripe.js, or to the bank's own page.

    A payment method that is no card has only the redirect.
    """
    is_card = state.payment_methods[intent["payment_method"]]["type"] == "card"
    uses_sdk = uses_sdk and is_card
    if not (is_card or return_url):
        raise invalid(
            "A `return_url` must be specified: this payment method redirects your customer.",
            param="return_url",
        )
    page = f"{state.base_url}/3ds/{intent['id']}"
    state.return_urls[intent["id"]] = None if uses_sdk else return_url
    action: dict[str, Any]
    if return_url and not uses_sdk:
        action = {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": return_url, "url": page},
        }
    else:
        action = {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": page},
        }
    intent.update(status="requires_action", next_action=action)
    state.emit("payment_intent.requires_action", intent)


def authenticated(state: State, id_: str, *, succeeded: bool) -> Resource:
    """The customer went through 3-D Secure (or failed it); a decline after it is no exception."""
    intent = state.get("payment_intent", id_)
    if intent["status"] != "requires_action":
        raise unexpected_state(intent, "authenticate")
    method = state.get("payment_method", intent["payment_method"])
    if succeeded:
        # The confirm was answered long ago: a decline shows in the object only.
        with contextlib.suppress(StripeError):
            pay(state, intent, state.behaviours[method["id"]])
    else:
        # Authentication precedes the charge, so there is none.
        _return_to_payment_method(
            intent, {**AUTHENTICATION_FAILED, "payment_method": snapshot(method)}
        )
        state.emit("payment_intent.payment_failed", intent)
    return intent


def pay(state: State, intent: Resource, behaviour: Behaviour) -> None:
    """Charge the attached payment method. Raises the 402 of a card that declines."""
    method = state.get("payment_method", intent["payment_method"])
    charge = objects.charge(state, intent, method)
    state.charges[charge["id"]] = charge
    intent.update(latest_charge=charge["id"], next_action=None)
    if behaviour.settles != "at_once":
        intent["status"] = "processing"
        state.emit("payment_intent.processing", intent)
        state.emit("charge.pending", charge)
        if behaviour.settles != "never":
            state.later(lambda: _settle_if_processing(state, intent, charge))
    elif behaviour.decline is not None:
        _fail(state, intent, charge, behaviour.decline)
        raise _card_error(intent)
    elif intent["capture_method"] == "manual":
        charge.update(
            status="succeeded",
            paid=True,
            outcome=objects.outcome(declined_with=None, declined=False),
        )
        intent.update(status="requires_capture", amount_capturable=intent["amount"])
        state.emit("charge.succeeded", charge)
        state.emit("payment_intent.amount_capturable_updated", intent)
    else:
        succeed(state, intent, charge, intent["amount"])


def succeed(state: State, intent: Resource, charge: Resource, amount: int) -> None:
    """Capture `amount` (minor units); a card that is always disputed is, at once."""
    was_authorised = charge["paid"]
    charge.update(
        status="succeeded",
        paid=True,
        captured=True,
        amount_captured=amount,
        outcome=objects.outcome(declined_with=None, declined=False),
        balance_transaction=state.add_balance_transaction(
            "charge", charge, amount, charge["currency"]
        ),
    )
    intent.update(status="succeeded", amount_received=amount, amount_capturable=0, next_action=None)
    state.emit("charge.captured" if was_authorised else "charge.succeeded", charge)
    state.emit("payment_intent.succeeded", intent)
    behaviour = state.behaviours[charge["payment_method"]]
    if behaviour.dispute is not None:
        disputes.open_dispute(state, charge, reason=behaviour.dispute, inquiry=behaviour.inquiry)


def _fail(state: State, intent: Resource, charge: Resource, decline: Decline) -> None:
    charge.update(
        status="failed",
        failure_code=decline.code,
        failure_message=decline.message,
        outcome=objects.outcome(declined_with=decline.decline_code, declined=True),
    )
    method = state.get("payment_method", intent["payment_method"])
    error = {
        "advice_code": decline.advice_code,
        "charge": charge["id"],
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": f"{DOCS}/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": snapshot(method),
        "type": "card_error" if method["type"] == "card" else "invalid_request_error",
    }
    _return_to_payment_method(
        intent, {key: value for key, value in error.items() if value is not None}
    )
    state.emit("charge.failed", charge)
    state.emit("payment_intent.payment_failed", intent)


def _return_to_payment_method(intent: Resource, error: Resource) -> None:
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error=error,
    )


def _card_error(intent: Resource) -> StripeError:
    error = dict(intent["last_payment_error"])
    return StripeError(
        402,
        error.pop("type"),
        error.pop("message"),
        **error,
        payment_intent=snapshot(intent),
    )


def _settle_if_processing(state: State, intent: Resource, charge: Resource) -> None:
    if intent["status"] == "processing" and intent["latest_charge"] == charge["id"]:
        settle(state, intent["id"], None)


def settle(state: State, id_: str, outcome: str | None) -> Resource:
    """The bank answers a processing payment: "succeed", "fail", or None for what the account does."""
    intent = state.get("payment_intent", id_)
    if intent["status"] != "processing":
        raise unexpected_state(intent, "settle")
    charge = state.charges[intent["latest_charge"]]
    behaviour = state.behaviours[charge["payment_method"]]
    fails = behaviour.settles == "fails" if outcome is None else outcome == "fail"
    if fails:
        returned = Decline("no_account", None, "The customer's bank account could not be located.")
        _fail(state, intent, charge, behaviour.decline or returned)
    else:
        succeed(state, intent, charge, intent["amount"])
    return intent


def unexpected_state(intent: Resource, verb: str) -> StripeError:
    """The 400 for an act that the status forbids; it carries the PaymentIntent."""
    return invalid(
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
        code="payment_intent_unexpected_state",
        payment_intent=snapshot(intent),
    )
