"""Early fraud warnings of the card's issuer, and reviews: raised and closed as Stripe does.

A refund in full and a dispute settle both: the warning is not actionable any more, the review is closed.
"""

from __future__ import annotations

from sandbox.stripe.errors import invalid
from sandbox.stripe.state import Resource, State, new_id, now


def warn(state: State, charge: Resource, fraud_type: str) -> Resource:
    """The issuer reports that its customer did not make this payment."""
    if not charge["captured"]:
        raise invalid(f"Charge {charge['id']} was not captured.")
    if any(each["charge"] == charge["id"] for each in state.early_fraud_warnings.values()):
        raise invalid(f"Charge {charge['id']} has a warning.")
    warning = {
        "id": new_id("issfr_"),
        "object": "radar.early_fraud_warning",
        "actionable": not (charge["refunded"] or charge["disputed"]),
        "charge": charge["id"],
        "created": now(),
        "fraud_type": fraud_type,
        "livemode": False,
        "payment_intent": charge["payment_intent"],
    }
    state.early_fraud_warnings[warning["id"]] = warning
    state.emit("radar.early_fraud_warning.created", warning)
    return warning


def open_review(state: State, charge: Resource, reason: str) -> Resource:
    """A rule of Radar, or somebody at the dashboard, wants a payment to be looked at."""
    if any(r["charge"] == charge["id"] and r["open"] for r in state.reviews.values()):
        raise invalid(f"Charge {charge['id']} is in review.")
    review = {
        "id": new_id("prv_"),
        "object": "review",
        "billing_zip": "560001",
        "charge": charge["id"],
        "closed_reason": None,
        "created": now(),
        "ip_address": "203.0.113.7",
        "ip_address_location": {
            "city": "Bengaluru",
            "country": "IN",
            "latitude": 12.97,
            "longitude": 77.59,
            "region": "Karnataka",
        },
        "livemode": False,
        "open": True,
        "opened_reason": reason,
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "session": None,
    }
    state.reviews[review["id"]] = review
    state.emit("review.opened", review)
    return review


def close_review(state: State, id_: str, reason: str) -> Resource:
    """Somebody decides: approved, for example."""
    review = state.get("review", id_)
    if not review["open"]:
        raise invalid("This review is already closed.")
    review.update(open=False, closed_reason=reason, reason=reason)
    state.emit("review.closed", review)
    return review


def settle(state: State, charge: Resource, reason: str) -> None:
    """The charge was refunded in full, or is disputed."""
    for warning in state.early_fraud_warnings.values():
        if warning["charge"] == charge["id"] and warning["actionable"]:
            warning["actionable"] = False
            state.emit("radar.early_fraud_warning.updated", warning, {"actionable": True})
    for review in list(state.reviews.values()):
        if review["charge"] == charge["id"] and review["open"]:
            close_review(state, review["id"], reason)
