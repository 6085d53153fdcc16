"""Refunds: of a charge or its PaymentIntent, whole or in part; succeeding, pending or failing later."""

from __future__ import annotations

from sandbox.stripe import fraud, objects
from sandbox.stripe.currencies import check_granularity
from sandbox.stripe.errors import invalid
from sandbox.stripe.params import (
    EXPAND,
    PAGE,
    Params,
    choice,
    fields,
    merge_metadata,
    metadata,
    positive,
    text,
)
from sandbox.stripe.state import Resource, State

CREATE = fields(
    amount=positive,
    charge=text,
    payment_intent=text,
    metadata=metadata,
    reason=choice("duplicate", "fraudulent", "requested_by_customer"),
    **EXPAND,
)
UPDATE = fields(metadata=metadata, **EXPAND)
LIST = fields(**PAGE, charge=text, payment_intent=text)


def create(state: State, params: Params) -> Resource:
    """Refund `amount` (minor units), by default all that is left. Raises a 400 when it can't be."""
    charge = _charge_to_refund(state, params)
    if charge["disputed"] and not _latest_dispute(state, charge)["is_charge_refundable"]:
        raise invalid(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left <= 0:
        raise invalid(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    amount = params.get("amount", left)
    if amount > left:
        # Stripe sends no code with this one.
        raise invalid(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}) in "
            f"the smallest unit of {charge['currency']}",
            param="amount",
        )
    check_granularity(amount, charge["currency"])
    behaviour = state.behaviours[charge["payment_method"]]
    status = "pending" if behaviour.refund == "pending" else "succeeded"
    refund = objects.refund(charge, amount, params, status)
    refund["balance_transaction"] = state.add_balance_transaction(
        "refund", refund, -amount, charge["currency"]
    )
    state.refunds[refund["id"]] = refund
    previous = {key: charge[key] for key in ("amount_refunded", "refunded")}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    state.emit("refund.created", refund)
    state.emit("charge.refunded", charge, previous)
    if charge["refunded"]:
        fraud.settle(state, charge, "refunded")
    if behaviour.refund != "succeeds":
        state.later(lambda: _settle_if_open(state, refund))
    return refund


def _charge_to_refund(state: State, params: Params) -> Resource:
    if "charge" in params:
        charge = state.get("charge", params["charge"], param="charge")
        if params.get("payment_intent", charge["payment_intent"]) != charge["payment_intent"]:
            raise invalid(
                f"Charge {charge['id']} does not belong to PaymentIntent "
                f"{params['payment_intent']}.",
                param="charge",
            )
    elif "payment_intent" in params:
        intent = state.get("payment_intent", params["payment_intent"], param="payment_intent")
        if intent["status"] != "succeeded":
            raise invalid(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                param="payment_intent",
            )
        charge = state.charges[intent["latest_charge"]]
    else:
        raise invalid(
            "One of the following params should be provided for this request: payment_intent or "
            "charge.",
            code="parameter_missing",
        )
    if not charge["captured"]:
        raise invalid(
            f"Charge {charge['id']} was not captured, so it can't be refunded.",
            code="charge_not_refundable",
        )
    return charge


def _latest_dispute(state: State, charge: Resource) -> Resource:
    return next(d for d in reversed(state.disputes.values()) if d["charge"] == charge["id"])


def _settle_if_open(state: State, refund: Resource) -> None:
    behaviour = state.behaviours[refund["payment_method"]]
    if refund["status"] == "pending" or (
        refund["status"] == "succeeded" and behaviour.refund == "fails_later"
    ):
        settle(state, refund["id"], None)


def settle(
    state: State, id_: str, outcome: str | None, reason: str = "expired_or_canceled_card"
) -> Resource:
    """How a refund ends: "succeed", "fail", or None for what the card does.

    A refund that succeeded can still fail; one that failed is over (400).
    """
    refund = state.get("refund", id_)
    if outcome is None:
        behaviour = state.behaviours[refund["payment_method"]]
        outcome = "fail" if behaviour.refund == "fails_later" else "succeed"
    if refund["status"] not in (("pending",) if outcome == "succeed" else ("pending", "succeeded")):
        raise invalid(f"The refund can't {outcome}: its status is {refund['status']}.")
    previous: Resource = {"status": refund["status"]}
    if "pending_reason" in refund:
        previous["pending_reason"] = refund.pop("pending_reason")
    if outcome == "succeed":
        refund["status"] = "succeeded"
        state.emit("refund.updated", refund, previous)
        state.emit("charge.refund.updated", refund, previous)
    else:
        _fail(state, refund, reason, previous)
    return refund


def _fail(state: State, refund: Resource, reason: str, previous: Resource) -> None:
    refund.update(
        status="failed",
        failure_reason=reason,
        failure_balance_transaction=state.add_balance_transaction(
            "refund_failure", refund, refund["amount"], refund["currency"]
        ),
    )
    charge = state.charges[refund["charge"]]
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    state.emit("refund.updated", refund, previous)
    state.emit("refund.failed", refund, previous)
    state.emit("charge.refund.updated", refund, previous)


def update(state: State, id_: str, params: Params) -> Resource:
    """Change a refund's metadata."""
    refund = state.get("refund", id_)
    refund["metadata"] = merge_metadata(refund["metadata"], params)
    state.emit("refund.updated", refund)
    return refund


def cancel(state: State, id_: str, _params: Params) -> Resource:
    """Only a refund in requires_action can be canceled, and no card has one: always a 400."""
    refund = state.get("refund", id_)
    raise invalid(
        f"You can only cancel a refund with a status of requires_action; this one is "
        f"{refund['status']}."
    )
