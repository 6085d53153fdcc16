"""Kafka's account of the money against Stripe's: what moved, by whose word, and where the two differ."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from models.events import (
    Event,
    EventType,
    PaymentCompleted,
    PaymentDispute,
    PaymentRefund,
)
from models.messages import Message, to_rfc3339
from models.payment_state import TAKES_NOTHING


class Kind(StrEnum):
    """What moves money; the names of Stripe's objects."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"


@dataclass(frozen=True, slots=True)
class Moved:
    """A charge, refund or dispute as one side knows it.

    amount: minor units that it has moved by now: 0 for a refund that is pending or failed, and for a
    dispute that took nothing or gave it back. at_ms: since the epoch; Stripe's time of the object, ours
    of the event. sequence: of the event, 0 for what Stripe says.
    """

    kind: Kind
    id: str
    order_id: str
    currency: str
    amount: int
    at_ms: int
    sequence: int = 0

    @property
    def key(self) -> tuple[Kind, str]:
        """The same on both sides."""
        return self.kind, self.id


Account = Mapping[tuple[Kind, str], Moved]
MONEY_EVENTS: Final = frozenset(
    {
        EventType.PAYMENT_COMPLETED,
        EventType.PAYMENT_REFUNDED,
        EventType.PAYMENT_REFUND_PARTIAL,
        EventType.PAYMENT_REFUND_FAILED,
        EventType.PAYMENT_DISPUTED,
        EventType.PAYMENT_DISPUTE_CLOSED,
    }
)


def moved_by_event(event: Event) -> Moved | None:
    """What a payment event says of the money; None if nothing that Stripe would know."""
    match event.data:
        case PaymentCompleted() as data:
            kind, id, amount = Kind.CHARGE, data.stripe_charge_id, data.amount
        case PaymentRefund() as data:
            kind, id = Kind.REFUND, data.stripe_refund_id
            amount = 0 if event.event_type is EventType.PAYMENT_REFUND_FAILED else data.amount
        case PaymentDispute() as data:
            kind, id = Kind.DISPUTE, data.dispute_id
            amount = 0 if data.status in TAKES_NOTHING else data.amount
        case _:
            return None
    if id is None:
        return None
    return Moved(
        kind, id, event.order_id, data.currency, amount, event.occurred_at_ms, event.sequence
    )


def moved_at_stripe(kind: Kind, thing: Mapping[str, Any], order_id: str) -> Moved:
    """What Stripe's object says of the money."""
    match kind:
        case Kind.CHARGE:
            amount = thing["amount_captured"] if thing["status"] == "succeeded" else 0
        case Kind.REFUND:
            amount = thing["amount"] if thing["status"] == "succeeded" else 0
        case Kind.DISPUTE:
            amount = 0 if thing["status"] in TAKES_NOTHING else thing["amount"]
    currency = thing["currency"].upper()
    return Moved(kind, thing["id"], order_id, currency, amount, thing["created"] * 1000)


class Difference(Message):
    """An object about whose money the two sides do not agree, in minor units.

    stripe, tiffin: what it has moved by each side's word; None: that side does not know it. since:
    when it was seen first.
    """

    kind: Kind
    id: str
    order_id: str
    currency: str
    stripe: int | None
    tiffin: int | None
    since: str


class Sides(Message):
    """A sum by each side's word, in minor units."""

    stripe: int = 0
    tiffin: int = 0


class DayTotals(Message):
    """What moved on a day (UTC, of Stripe's objects) in one currency."""

    day: str
    currency: str
    charged: Sides = Sides()
    refunded: Sides = Sides()
    disputed: Sides = Sides()


_COLUMN: Final = {Kind.CHARGE: "charged", Kind.REFUND: "refunded", Kind.DISPUTE: "disputed"}


def differences(
    stripe: Account,
    tiffin: Account,
    *,
    since: Mapping[tuple[Kind, str], str],
    now: str,
    until_ms: int,
) -> list[Difference]:
    """Every object whose money differs; one that moved nothing and is unknown to a side does not.

    since: key -> when an earlier comparison saw it first. until_ms: of what a side says of a later
    time the other can't have heard; milliseconds since the epoch.
    """
    found = []
    for key in sorted({*stripe, *tiffin}):
        theirs, ours = stripe.get(key), tiffin.get(key)
        known = theirs or ours
        assert known is not None
        is_young = max(side.at_ms for side in (theirs, ours) if side) > until_ms
        if is_young or (theirs.amount if theirs else 0) == (ours.amount if ours else 0):
            continue
        found.append(
            Difference(
                kind=known.kind,
                id=known.id,
                order_id=known.order_id,
                currency=known.currency,
                stripe=theirs.amount if theirs else None,
                tiffin=ours.amount if ours else None,
                since=since.get(key, now),
            )
        )
    return found


def totals(stripe: Account, tiffin: Account) -> list[DayTotals]:
    """Sums by day and currency; an object that both know counts on the day that Stripe gives it."""
    sums: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    for side, account in (("stripe", stripe), ("tiffin", tiffin)):
        for key, moved in account.items():
            at_ms = stripe[key].at_ms if key in stripe else moved.at_ms
            of_day = sums.setdefault((to_rfc3339(at_ms)[:10], moved.currency), {})
            column = of_day.setdefault(_COLUMN[moved.kind], {"stripe": 0, "tiffin": 0})
            column[side] += moved.amount
    return [
        DayTotals(
            day=day,
            currency=currency,
            **{name: Sides(**column) for name, column in columns.items()},
        )
        for (day, currency), columns in sorted(sums.items(), reverse=True)
    ]


def fold(account: dict[tuple[Kind, str], Moved], moves: Iterable[Moved]) -> None:
    """Add moves to an account, each object's latest word last; emitted again ones change nothing."""
    for moved in moves:
        known = account.get(moved.key)
        if known is None or known.sequence <= moved.sequence:
            account[moved.key] = moved


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


class Report(Message):
    """What the latest runs found. Times are RFC 3339.

    cursor: all events of Stripe's that were created before are known to be in Kafka. listed: events
    looked at in the last run. problems: what the last run could not do, and why. missing: the latest
    events that were missing, all runs together; missingTotal: how many there were. comparedAt: when
    totals and differences were made, from comparedSince on. settling: differences that are too young
    to be listed. unchecked: objects that were too many to be looked up one by one.
    """

    run_at: str
    cursor: str
    listed: int = 0
    problems: tuple[str, ...] = ()
    missing: tuple[MissingEvent, ...] = ()
    missing_total: int = 0
    orphans: tuple[Orphan, ...] = ()
    orphans_total: int = 0
    compared_at: str | None = None
    compared_since: str | None = None
    totals: tuple[DayTotals, ...] = ()
    differences: tuple[Difference, ...] = ()
    settling: tuple[Difference, ...] = ()
    unchecked: int = 0
