"""Compares the money by our events with the money by Stripe's objects, by object and by day."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from models.messages import Message, Timestamp
from models.money_movements import Account, MoneyMovement, MovementKind
from models.times import to_rfc3339


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
    day: Annotated[str, Field(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = ""


class StripeAndTiffin(Message):
    """A sum by Stripe's objects and by our events, in minor units."""

    stripe: int = 0
    tiffin: int = 0


class DayTotals(Message):
    """What moved on a day (UTC, of Stripe's objects) in one currency.

    differing: objects about which the two sides do not agree; their sums may agree all the same.
    """

    day: str
    currency: str
    charged: StripeAndTiffin = StripeAndTiffin()
    refunded: StripeAndTiffin = StripeAndTiffin()
    disputed: StripeAndTiffin = StripeAndTiffin()
    differing: int = 0

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


@dataclass(frozen=True, slots=True)
class _Pair:
    """One object in one currency, by Stripe and by our events."""

    known: MoneyMovement
    currency: str
    day: str
    stripe: int | None
    tiffin: int | None

    @property
    def differs(self) -> bool:
        """An object that moved nothing and is unknown to a side does not."""
        return (self.stripe or 0) != (self.tiffin or 0)


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
    pairs = list(_pairs(stripe, tiffin, until_ms))
    differences = [
        MoneyDifference(
            kind=pair.known.kind,
            id=pair.known.id,
            order_id=pair.known.order_id,
            currency=pair.currency,
            stripe=pair.stripe,
            tiffin=pair.tiffin,
            since=since.get(pair.known.key, now),
            day=pair.day,
        )
        for pair in pairs
        if pair.differs
    ]
    return differences, _totals(pairs)


def _pairs(stripe: Account, tiffin: Account, until_ms: int) -> Iterator[_Pair]:
    for key in sorted({*stripe, *tiffin}):
        sides = theirs, ours = stripe.get(key), tiffin.get(key)
        known = theirs or ours
        assert known is not None
        day = to_rfc3339(known.at_ms)[:10]
        pairs = [
            _Pair(known, currency, day, *(_amount(side, currency) for side in sides))
            for currency in sorted({side.currency for side in sides if side})
        ]
        is_young = max(side.at_ms for side in sides if side) > until_ms
        if not (is_young and any(pair.differs for pair in pairs)):
            yield from pairs


def _amount(side: MoneyMovement | None, currency: str) -> int | None:
    return side.amount if side and side.currency == currency else None


def _totals(pairs: Iterable[_Pair]) -> list[DayTotals]:
    """An object that both know counts on the day that Stripe gives it."""
    days: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    differing: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        place = pair.day, pair.currency
        differing[place] += pair.differs
        columns = days.setdefault(place, {})
        sums = columns.setdefault(_COLUMN[pair.known.kind], {"stripe": 0, "tiffin": 0})
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
    listed: int = 0
    problems: tuple[str, ...] = ()
    missing: tuple[MissingEvent, ...] = ()
    missing_total: int = 0
    orphans: tuple[Orphan, ...] = ()
    orphans_total: int = 0
    compared_at: Timestamp | None = None
    compared_since: Timestamp | None = None
    totals: tuple[DayTotals, ...] = ()
    differences: tuple[MoneyDifference, ...] = ()
    settling: tuple[MoneyDifference, ...] = ()
    unchecked: int = 0
    unusable: int = 0
