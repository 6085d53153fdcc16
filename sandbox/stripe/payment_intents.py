"""PaymentIntents: create, update, confirm, capture, cancel, and `expire`, which time does.

Each runs without an await, from its check of the status to its change of it, and returns the
PaymentIntent or raises `StripeError`.
"""

from __future__ import annotations

from typing import Any

from sandbox.stripe import attempts, objects, payment_methods
from sandbox.stripe.currencies import check_amount, check_currency, check_granularity
from sandbox.stripe.errors import invalid
from sandbox.stripe.params import (
    EXPAND,
    PAGE,
    Params,
    Parser,
    anything,
    boolean,
    choice,
    fields,
    list_of,
    merge_metadata,
    metadata,
    positive,
    text,
    unsettable_text,
)
from sandbox.stripe.payment_methods import METHOD_DATA
from sandbox.stripe.state import Resource, State, now, snapshot

CONFIRM_FIELDS: dict[str, Parser] = {
    "payment_method": text,
    "payment_method_data": METHOD_DATA,
    "payment_method_options": anything,
    "confirmation_token": text,
    "return_url": text,
    "receipt_email": unsettable_text,
    "setup_future_usage": choice("off_session", "on_session"),
    "shipping": anything,
    "mandate_data": anything,
    "use_stripe_sdk": boolean,
    **EXPAND,
}


def _no_longer_supported(_value: Any, name: str) -> Any:
    raise invalid(
        f"`{name}` is no longer supported; use `allowed_payment_method_types`.",
        code=f"{name}_no_longer_supported",
        param=name,
    )


DESCRIBING_FIELDS: dict[str, Parser] = {
    "description": unsettable_text,
    "metadata": metadata,
    "statement_descriptor": unsettable_text,
    "statement_descriptor_suffix": unsettable_text,
    "transfer_group": text,
}
_CREATE_FIELDS = fields(
    ("amount", "currency"),
    amount=positive,
    currency=text,
    automatic_payment_methods=fields(
        ("enabled",), enabled=boolean, allow_redirects=choice("always", "never")
    ),
    capture_method=choice("automatic", "automatic_async", "manual"),
    confirm=boolean,
    allowed_payment_method_types=list_of(text),
    payment_method_types=_no_longer_supported,
    **CONFIRM_FIELDS,
    **DESCRIBING_FIELDS,
)


def CREATE(value: Any, name: str) -> Params:  # noqa: N802 - a schema like the others
    """The fields of a new PaymentIntent, and what they may be together."""
    params: Params = _CREATE_FIELDS(value, name)
    params["currency"] = check_currency(params["currency"])
    check_amount(params["amount"], params["currency"])
    if "allowed_payment_method_types" in params and "automatic_payment_methods" in params:
        raise invalid(
            "You may only specify one of these parameters: allowed_payment_method_types, "
            "automatic_payment_methods.",
            code="parameters_exclusive",
        )
    for only in ("confirmation_token", "return_url"):
        if only in params and not params.get("confirm"):
            raise invalid(f"`{only}` can only be specified when `confirm` is true.", param=only)
    return params


UPDATE = fields(
    amount=positive,
    currency=text,
    payment_method=text,
    receipt_email=unsettable_text,
    shipping=anything,
    **DESCRIBING_FIELDS,
    **EXPAND,
)
CONFIRM = fields(**CONFIRM_FIELDS)
CAPTURE = fields(amount_to_capture=positive, metadata=metadata, **EXPAND)
CANCEL = fields(
    cancellation_reason=choice("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
    **EXPAND,
)
LIST = fields(**PAGE)
RETRIEVE = fields(client_secret=text, **EXPAND)

# The statuses in which a request is possible; cancel has one more case in `cancel`.
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = (*CONFIRMABLE, "requires_capture")


def create(state: State, params: Params) -> Resource:
    """A new PaymentIntent; with `confirm`, its first attempt too."""
    intent = objects.payment_intent(params["amount"], params["currency"], params)
    if params.get("confirm"):
        # Refused requests leave nothing behind, not even a PaymentIntent.
        _check_return_url(state, intent, params)
    method = None
    if "confirmation_token" not in params:
        method = _method_of(state, params)
    state.payment_intents[intent["id"]] = intent
    state.emit("payment_intent.created", intent)
    if method is not None:
        attempts.attach(intent, method)
    if params.get("confirm"):
        rest = {key: value for key, value in params.items() if key != "payment_method_data"}
        if method is not None:
            rest["payment_method"] = method["id"]
        return confirm(state, intent["id"], rest)
    return intent


def update(state: State, id_: str, params: Params) -> Resource:
    """Change a PaymentIntent; only its description and metadata once it is on its way."""
    intent = state.get("payment_intent", id_)
    if intent["status"] not in CONFIRMABLE and set(params) - {"metadata", "description"}:
        raise attempts.unexpected_state(intent, "update")
    currency = check_currency(params.get("currency") or intent["currency"])
    amount = check_amount(params.get("amount") or intent["amount"], currency)
    method = _method_of(state, params)
    changes = {key: value for key, value in params.items() if key in intent}
    intent.update(
        changes,
        amount=amount,
        currency=currency,
        metadata=merge_metadata(intent["metadata"], params),
        # "Cleared if the PaymentIntent is later updated for any reason."
        last_payment_error=None,
    )
    if method is not None:
        attempts.attach(intent, method)
    return intent


def confirm(state: State, id_: str, params: Params) -> Resource:
    """Make an attempt. Raises a 402 card_error when the card declines."""
    intent = state.get("payment_intent", id_)
    if intent["status"] not in CONFIRMABLE:
        raise attempts.unexpected_state(intent, "confirm")
    token = _check_return_url(state, intent, params)
    if "confirmation_token" in params:
        method = payment_methods.use_token(state, params["confirmation_token"], intent)
    else:
        found = _method_of(state, params)
        if found is None and intent["payment_method"] is not None:
            found = state.get("payment_method", intent["payment_method"])
        if found is None:
            raise invalid(
                "You cannot confirm this PaymentIntent because it's missing a payment method. You "
                "can either update the PaymentIntent with a payment method and then confirm it "
                "again, or confirm it again directly with a payment method or ConfirmationToken.",
                code="payment_intent_unexpected_state",
                payment_intent=snapshot(intent),
            )
        method = found
    if method["type"] not in intent["payment_method_types"]:
        raise invalid(
            f"The PaymentMethod provided ({method['type']}) is not allowed for this PaymentIntent.",
            code="payment_intent_incompatible_payment_method",
            param="payment_method",
        )
    attempts.attach(intent, method)
    intent["last_payment_error"] = None
    for name in ("receipt_email", "shipping", "setup_future_usage"):
        if name in params:
            intent[name] = params[name]
    behaviour = state.behaviours[method["id"]]
    if behaviour.authenticate:
        uses_sdk = params.get("use_stripe_sdk") or bool(token and token["use_stripe_sdk"])
        return_url = params.get("return_url") or (token["return_url"] if token else None)
        attempts.require_action(state, intent, return_url, uses_sdk=uses_sdk)
    else:
        attempts.pay(state, intent, behaviour)
    return intent


def _check_return_url(state: State, intent: Resource, params: Params) -> Resource | None:
    """The ConfirmationToken, if any; a 400 when a redirect would have nowhere to return to."""
    token = None
    if "confirmation_token" in params:
        token = state.get(
            "confirmation_token", params["confirmation_token"], param="confirmation_token"
        )
    automatic = intent["automatic_payment_methods"]
    if (
        automatic is not None
        and automatic["allow_redirects"] == "always"
        and not (
            params.get("return_url")
            or params.get("use_stripe_sdk")
            or (token and token["return_url"])
        )
    ):
        raise invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your "
            "Dashboard. Because some of these payment methods might redirect your customer off "
            "of your page, you must provide a `return_url`. If you don't want to accept "
            "redirect-based payment methods, set `automatic_payment_methods[allow_redirects]` to "
            "`never` when creating Setup Intents and Payment Intents.",
            param="return_url",
            payment_intent=snapshot(intent),
        )
    return token


def _method_of(state: State, params: Params) -> Resource | None:
    if "payment_method" in params:
        return payment_methods.named(state, params["payment_method"])
    if "payment_method_data" in params:
        return payment_methods.create(state, params["payment_method_data"])
    return None


def capture(state: State, id_: str, params: Params) -> Resource:
    """Take the money that a manual confirm reserved, or a part of it."""
    intent = state.get("payment_intent", id_)
    if intent["status"] != "requires_capture":
        raise attempts.unexpected_state(intent, "capture")
    amount = params.get("amount_to_capture") or intent["amount_capturable"]
    if amount > intent["amount_capturable"]:
        raise invalid(
            f"The provided amount_to_capture {amount} is greater than the amount_capturable "
            f"{intent['amount_capturable']}.",
            code="amount_too_large",
            param="amount_to_capture",
        )
    check_granularity(amount, intent["currency"])
    intent["metadata"] = merge_metadata(intent["metadata"], params)
    attempts.succeed(state, intent, state.charges[intent["latest_charge"]], amount)
    return intent


def cancel(state: State, id_: str, params: Params) -> Resource:
    """Cancel before the money moves; a processing payment only where the bank still allows it."""
    intent = state.get("payment_intent", id_)
    stuck = intent["status"] == "processing" and (
        state.behaviours[intent["payment_method"]].settles == "never"
    )
    if intent["status"] not in CANCELABLE and not stuck:
        raise attempts.unexpected_state(intent, "cancel")
    _cancel(state, intent, params.get("cancellation_reason"))
    return intent


def expire(state: State, id_: str) -> Resource:
    """Seven days are over: an uncaptured authorisation is cancelled by Stripe itself."""
    intent = state.get("payment_intent", id_)
    if intent["status"] != "requires_capture":
        raise attempts.unexpected_state(intent, "expire")
    state.emit("charge.expired", state.charges[intent["latest_charge"]])
    _cancel(state, intent, "automatic")
    return intent


def _cancel(state: State, intent: Resource, reason: str | None) -> None:
    # What was authorised but not captured is let go without a refund (since API 2025-03-31).
    if intent["latest_charge"] is not None:
        charge = state.charges[intent["latest_charge"]]
        if charge["status"] == "pending":
            charge["status"] = "failed"
    intent.update(
        status="canceled",
        canceled_at=now(),
        cancellation_reason=reason,
        next_action=None,
        amount_capturable=0,
    )
    state.emit("payment_intent.canceled", intent)
