"""Money movements of payment events and of Stripe's objects, in one form that can be compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from models.events import (
    Event,
    EventType,
    PaymentCompleted,
    PaymentDetailsAdded,
    PaymentDispute,
    PaymentRefund,
)
from models.payment import withdrawn


class MovementKind(StrEnum):
    """What moves money; the names of Stripe's objects."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"


@dataclass(frozen=True, slots=True)
class MoneyMovement:
    """A charge, refund or dispute as one side knows it.

    amount: minor units that it has moved by now: 0 for a refund that is pending or failed, and for a
    dispute that took nothing or gave it back. at_ms: since the epoch; Stripe's time of the object, ours
    of the event. sequence: of the event, 0 for what Stripe says.
    """

    kind: MovementKind
    id: str
    order_id: str
    currency: str
    amount: int
    at_ms: int
    sequence: int = 0

    @property
    def key(self) -> tuple[MovementKind, str]:
        """The same on both sides."""
        return self.kind, self.id


Account = Mapping[tuple[MovementKind, str], MoneyMovement]
MONEY_EVENTS: Final = frozenset(
    {
        EventType.PAYMENT_COMPLETED,
        EventType.PAYMENT_DETAILS_ADDED,
        EventType.PAYMENT_REFUNDED,
        EventType.PAYMENT_REFUND_PARTIAL,
        EventType.PAYMENT_REFUND_FAILED,
        EventType.PAYMENT_DISPUTED,
        EventType.PAYMENT_DISPUTE_CLOSED,
    }
)


def movement_of_event(event: Event) -> MoneyMovement | None:
    """The movement of a payment event; None for one that moves no money at Stripe."""
    match event.data:
        case PaymentCompleted() | PaymentDetailsAdded() as data:
            kind, id, amount = MovementKind.CHARGE, data.stripe_charge_id, data.amount
        case PaymentRefund() as data:
            kind, id = MovementKind.REFUND, data.stripe_refund_id
            amount = 0 if event.event_type is EventType.PAYMENT_REFUND_FAILED else data.amount
        case PaymentDispute() as data:
            kind, id = MovementKind.DISPUTE, data.dispute_id
            amount = withdrawn(data.amount, data.status)
        case _:
            return None
    if id is None:
        return None
    return MoneyMovement(
        kind, id, event.order_id, data.currency, amount, event.occurred_at_ms, event.sequence
    )


def movement_of_stripe_object(
    kind: MovementKind, thing: Mapping[str, Any], order_id: str
) -> MoneyMovement:
    """The movement of Stripe's object."""
    match kind:
        case MovementKind.CHARGE:
            amount = thing["amount_captured"] if thing["status"] == "succeeded" else 0
        case MovementKind.REFUND:
            amount = thing["amount"] if thing["status"] == "succeeded" else 0
        case MovementKind.DISPUTE:
            amount = withdrawn(thing["amount"], thing["status"])
    currency = thing["currency"].upper()
    return MoneyMovement(kind, thing["id"], order_id, currency, amount, thing["created"] * 1000)


def add_movements(
    account: dict[tuple[MovementKind, str], MoneyMovement], moves: Iterable[MoneyMovement]
) -> None:
    """Add movements to an account; of each object the highest sequence stays, repeated ones change nothing."""
    for moved in moves:
        known = account.get(moved.key)
        if known is None or known.sequence <= moved.sequence:
            account[moved.key] = moved
