"""Disputes: opened by the customer's bank, answered with evidence, closed as won or lost."""

from __future__ import annotations

from sandbox.stripe import fraud
from sandbox.stripe.errors import invalid
from sandbox.stripe.objects import EVIDENCE
from sandbox.stripe.objects import dispute as new_dispute
from sandbox.stripe.params import (
    EXPAND,
    PAGE,
    Params,
    boolean,
    fields,
    merge_metadata,
    metadata,
    text,
    unsettable_text,
)
from sandbox.stripe.state import Resource, State

UPDATE = fields(
    evidence=fields(**dict.fromkeys(EVIDENCE, unsettable_text)),
    metadata=metadata,
    submit=boolean,
    **EXPAND,
)
LIST = fields(**PAGE, charge=text, payment_intent=text)

OPEN = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")
# What Stripe's test mode reads in `evidence[uncategorized_text]`.
TEST_EVIDENCE = {"winning_evidence": "won", "losing_evidence": "lost"}


def open_dispute(
    state: State, charge: Resource, *, reason: str, inquiry: bool, amount: int | None = None
) -> Resource:
    """The bank disputes a charge; unless it only inquires, the money is taken at once."""
    if not charge["captured"] or charge["disputed"]:
        raise invalid(f"Charge {charge['id']} can't be disputed: not captured, or disputed before.")
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = left if amount is None else amount
    if not 0 < amount <= left:
        raise invalid(f"A dispute of {amount} is not within 1 and {left}.", param="amount")
    dispute = new_dispute(charge, amount, reason, inquiry=inquiry)
    state.disputes[dispute["id"]] = dispute
    charge["disputed"] = True
    if not inquiry:
        _book(state, dispute, -amount)
    state.emit("charge.dispute.created", dispute)
    if not inquiry:
        state.emit("charge.dispute.funds_withdrawn", dispute)
    fraud.settle(state, charge, "disputed")
    return dispute


def _book(state: State, dispute: Resource, amount: int) -> None:
    id_ = state.add_balance_transaction("adjustment", dispute, amount, dispute["currency"])
    dispute["balance_transactions"].append(dict(state.balance_transactions[id_]))


def close_dispute(state: State, id_: str, outcome: str) -> Resource:
    """The bank decides: won, lost, or warning_closed for an inquiry that comes to nothing.

    What is lost may still be won, days later, when the bank takes its decision back.
    """
    dispute = state.get("dispute", id_)
    if dispute["status"] not in OPEN and (dispute["status"], outcome) != ("lost", "won"):
        raise invalid(f"This dispute is already closed: {dispute['status']}.")
    is_inquiry = dispute["status"].startswith("warning_")
    if (outcome == "warning_closed") != is_inquiry:
        raise invalid(f"A dispute that is {dispute['status']} can't be closed as {outcome}.")
    previous = {"status": dispute["status"]}
    # Money that came back, or was never taken, may be refunded again.
    dispute.update(status=outcome, is_charge_refundable=outcome != "lost")
    if outcome == "won":
        _book(state, dispute, dispute["amount"])
        state.emit("charge.dispute.funds_reinstated", dispute)
    state.emit("charge.dispute.closed", dispute, previous)
    return dispute


def update(state: State, id_: str, params: Params) -> Resource:
    """Give evidence; with `submit` (the default) it goes to the bank."""
    dispute = state.get("dispute", id_)
    if dispute["status"] not in OPEN:
        raise invalid("This dispute is already closed", param="id")
    dispute["metadata"] = merge_metadata(dispute["metadata"], params)
    evidence = params.get("evidence")
    if evidence:
        dispute["evidence"].update(evidence)
        dispute["evidence_details"]["has_evidence"] = True
    previous = {"status": dispute["status"]}
    if evidence and params.get("submit", True):
        dispute["evidence_details"]["submission_count"] += 1
        is_inquiry = dispute["status"].startswith("warning_")
        dispute["status"] = "warning_under_review" if is_inquiry else "under_review"
    state.emit("charge.dispute.updated", dispute, previous)
    verdict = TEST_EVIDENCE.get((evidence or {}).get("uncategorized_text") or "")
    if verdict is not None and dispute["status"] == "under_review":
        state.later(lambda: _close_if_open(state, id_, verdict))
    return dispute


def _close_if_open(state: State, id_: str, outcome: str) -> None:
    if state.disputes[id_]["status"] in OPEN:
        close_dispute(state, id_, outcome)


def close(state: State, id_: str, _params: Params) -> Resource:
    """Accept the dispute: it is lost."""
    if state.get("dispute", id_)["status"].startswith("warning_"):
        raise invalid("You cannot close an inquiry; refund the charge instead.")
    return close_dispute(state, id_, "lost")
