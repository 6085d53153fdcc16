"""Our books against Stripe's: money movements of both sides in one form, compared by object and by day."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

from models.events import (
    EVENTS,
    Event,
    EventType,
    PaymentCompleted,
    PaymentDetailsAdded,
    PaymentDispute,
    PaymentRefund,
)
from models.fields import Timestamp, form
from models.messages import Message, written
from models.payment import withdrawn
from models.times import to_rfc3339


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
_MOVING: Final = (PaymentCompleted, PaymentDetailsAdded, PaymentRefund, PaymentDispute)
MONEY_EVENTS: Final = frozenset(kind for kind, spec in EVENTS.items() if spec.data in _MOVING)


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


class MoneyDifference(Message):
    """An object about whose money the two sides do not agree, in minor units.

    stripe, tiffin: what it has moved by each side's word; None: that side does not know it in this
    currency. day: of `DayTotals` that it counts in. since: when it was seen first.
    """

    kind: MovementKind
    id: str
    order_id: str
    currency: str
    stripe: int | None
    tiffin: int | None
    since: Timestamp
    day: Annotated[str, form(r"(\d{4}-\d\d-\d\d)?")] = written("")

    @property
    def differs(self) -> bool:
        """An object that moved nothing and is unknown to a side does not."""
        return (self.stripe or 0) != (self.tiffin or 0)


class StripeAndTiffin(Message):
    """A sum by Stripe's objects and by our events, in minor units."""

    stripe: int = written(0)
    tiffin: int = written(0)


class DayTotals(Message):
    """What moved on a day (UTC, of Stripe's objects) in one currency.

    differing: objects about which the two sides do not agree; their sums may agree all the same.
    """

    day: str
    currency: str
    charged: StripeAndTiffin = written(StripeAndTiffin())
    refunded: StripeAndTiffin = written(StripeAndTiffin())
    disputed: StripeAndTiffin = written(StripeAndTiffin())
    differing: int = written(0)

    @property
    def is_even(self) -> bool:
        """Whether nothing in this row differs."""
        sums = (self.charged, self.refunded, self.disputed)
        return not self.differing and all(each.stripe == each.tiffin for each in sums)


_COLUMN: Final = {
    MovementKind.CHARGE: "charged",
    MovementKind.REFUND: "refunded",
    MovementKind.DISPUTE: "disputed",
}


def compare(
    stripe: Account,
    tiffin: Account,
    *,
    since: Mapping[tuple[MovementKind, str], str],
    now: str,
    until_ms: int,
) -> tuple[list[MoneyDifference], list[DayTotals]]:
    """Every object whose money differs, and the sums by day and currency, of the same objects.

    What differs in a sum is what the differences of its day and currency add up to. since: key ->
    when an earlier comparison saw it first. until_ms: of what a side says of a later time the other
    can't have heard, so what differs in that is left out; milliseconds since the epoch.
    """
    pairs = list(_pairs(stripe, tiffin, since, now, until_ms))
    return [pair for pair in pairs if pair.differs], _totals(pairs)


def _pairs(
    stripe: Account,
    tiffin: Account,
    since: Mapping[tuple[MovementKind, str], str],
    now: str,
    until_ms: int,
) -> Iterator[MoneyDifference]:
    for key in sorted({*stripe, *tiffin}):
        theirs, ours = stripe.get(key), tiffin.get(key)
        sides = [side for side in (theirs, ours) if side]
        known = sides[0]
        pairs = [
            MoneyDifference(  # of each object, most of which do not differ
                kind=known.kind,
                id=known.id,
                order_id=known.order_id,
                currency=currency,
                stripe=_amount(theirs, currency),
                tiffin=_amount(ours, currency),
                since=since.get(key, now),
                day=to_rfc3339(known.at_ms)[:10],
            )
            for currency in sorted({side.currency for side in sides})
        ]
        is_young = max(side.at_ms for side in sides) > until_ms
        if not (is_young and any(pair.differs for pair in pairs)):
            yield from pairs


def _amount(side: MoneyMovement | None, currency: str) -> int | None:
    return side.amount if side and side.currency == currency else None


def _totals(pairs: Iterable[MoneyDifference]) -> list[DayTotals]:
    """An object that both know counts on the day that Stripe gives it."""
    days: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    differing: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        place = pair.day, pair.currency
        differing[place] += pair.differs
        columns = days.setdefault(place, {})
        sums = columns.setdefault(_COLUMN[pair.kind], {"stripe": 0, "tiffin": 0})
        sums["stripe"] += pair.stripe or 0
        sums["tiffin"] += pair.tiffin or 0
    return [
        DayTotals(
            day=day,
            currency=currency,
            **{name: StripeAndTiffin(**sums) for name, sums in columns.items()},
            differing=differing[day, currency],
        )
        for (day, currency), columns in sorted(days.items(), reverse=True)
    ]


class MissingEvent(Message):
    """An event of Stripe's whose webhook never came. result: APPLIED, or UNREADABLE."""

    stripe_event_id: str
    stripe_event_type: str
    order_id: str | None
    created: str
    result: str


class Orphan(Message):
    """A payment intent that no order of ours has; amount in minor units. result: CANCELLED, or why not."""

    stripe_intent_id: str
    order_id: str
    created: str
    amount: int
    currency: str
    result: str


class ReconciliationReport(Message):
    """What the latest runs found. Times are RFC 3339.

    cursor: all events of Stripe's that were created before are known to be in Kafka. listed: events
    looked at in the last run. problems: what the last run could not do, and why. missing: the latest
    events that were missing, all runs together; missingTotal: how many there were. comparedAt: when
    totals and differences were made, from comparedSince on. settling: differences that are too young
    to be listed. unchecked: objects that were too many to be looked up one by one. unusable: records
    in Kafka that were passed over because they can't be used.
    """

    run_at: Timestamp
    cursor: Timestamp
    listed: int = written(0)
    problems: tuple[str, ...] = written(())
    missing: tuple[MissingEvent, ...] = written(())
    missing_total: int = written(0)
    orphans: tuple[Orphan, ...] = written(())
    orphans_total: int = written(0)
    compared_at: Timestamp | None = written(None)
    compared_since: Timestamp | None = written(None)
    totals: tuple[DayTotals, ...] = written(())
    differences: tuple[MoneyDifference, ...] = written(())
    settling: tuple[MoneyDifference, ...] = written(())
    unchecked: int = written(0)
    unusable: int = written(0)
