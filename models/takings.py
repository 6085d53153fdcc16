"""A restaurant's takings by day: what an order's payment changes of them, and the sums. Pure."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Annotated, Final

import orjson
from msgspec import Meta, field
from msgspec.structs import replace

from models.events import Event
from models.fields import MAX_MINOR_UNITS, Currency, Id, OrderKey, Timestamp
from models.messages import Message
from models.payment import Payment
from models.times import from_rfc3339
from models.transition import UnreadableError, readable_key

MinorUnitsChange = Annotated[
    int,
    Meta(
        ge=-MAX_MINOR_UNITS, le=MAX_MINOR_UNITS, description="minor units of the currency; signed"
    ),
]
Offset = Annotated[int, Meta(ge=-1, le=2**63 - 1, description="of a record in its partition")]
DEFAULT_KEPT_DAYS: Final = 35


class TakingsChange(Message):
    """What one event of a payment changes of its restaurant's takings; the record's key is the restaurant.

    eventId, offset: of the event in payment-events. orders: 1 when the order is paid. gross: what was captured.
    refunded: less than 0 where a refund that had counted failed after all.
    """

    event_id: Id
    order_id: OrderKey
    occurred_at: Timestamp
    currency: Currency
    orders: Annotated[int, Meta(ge=0, le=1)] = 0
    gross: MinorUnitsChange = 0
    refunded: MinorUnitsChange = 0
    offset: Offset = -1


class DayTakings(Message):
    """Sums of one day in one currency; amounts in minor units. orders: those that were paid on it."""

    orders: int = 0
    gross: int = 0
    refunded: int = 0

    @property
    def net(self) -> int:
        """What was captured without what was refunded, in minor units."""
        return self.gross - self.refunded


class Takings(Message):
    """A restaurant's record. days: such as "2026-11-27" -> currency -> sums.

    taken: who told it -> the last offset in payment-events that is in the sums. Changes that are told anew,
    because the table of whoever tells them was lost, come with other numbers and the same offsets.
    """

    days: dict[str, dict[str, DayTakings]] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)


def restarted_record(raw: bytes) -> bytes:
    """A stored record as one that has nothing of payment-events: other partitions have other offsets."""
    record = orjson.loads(raw)
    record["state"].pop("taken", None)
    return orjson.dumps(record)


def restaurant_key(restaurant_id: str) -> str | None:
    """The key of a restaurant's record; None for an id that no record may have."""
    try:
        return readable_key(restaurant_id.encode())
    except UnreadableError:
        return None


def change_of(
    before: Payment | None, event: Event, after: Payment, offset: int
) -> TakingsChange | None:
    """What an event changes; None where it moves no money. before, after: the payment folded."""
    captured = after.captured - (before.captured if before else 0)
    refunded = after.refunded - (before.refunded if before else 0)
    is_paid = after.completed_at is not None and (before is None or before.completed_at is None)
    if not (captured or refunded or is_paid):
        return None
    return TakingsChange(
        event_id=event.event_id, order_id=event.order_id, occurred_at=event.occurred_at,
        currency=after.currency, orders=int(is_paid), gross=captured, refunded=refunded, offset=offset,
    )  # fmt: skip


def added(
    takings: Takings, change: TakingsChange, told_by: str, at_ms: int, zone: tzinfo, kept_days: int
) -> Takings:
    """With a change, once; without days that are over for longer than they are kept.

    told_by: "service/partition". at_ms: when Kafka took the change, in milliseconds since the epoch.
    """
    last = takings.taken.get(told_by, -1)
    if 0 <= change.offset <= last:
        return takings
    taken = (
        {**takings.taken, told_by: max(last, change.offset)}
        if change.offset >= 0
        else takings.taken
    )
    days = dict(takings.days)
    day = day_of(from_rfc3339(change.occurred_at), zone).isoformat()
    sums = days.get(day, {}).get(change.currency, DayTakings())
    sums = replace(
        sums, orders=sums.orders + change.orders, gross=sums.gross + change.gross,
        refunded=sums.refunded + change.refunded,
    )  # fmt: skip
    days[day] = {**days.get(day, {}), change.currency: sums}
    return Takings(days=_kept(days, day_of(at_ms, zone), kept_days), taken=taken)


def day_of(at_ms: int, zone: tzinfo) -> date:
    """The day of a time, in milliseconds since the epoch."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).date()


def _kept(
    days: Mapping[str, dict[str, DayTakings]], today: date, kept_days: int
) -> dict[str, dict[str, DayTakings]]:
    """Days that are not over for too long. None is to come, but what a foreign event says may be."""
    first = (today - timedelta(days=kept_days)).isoformat()
    last = (today + timedelta(days=1)).isoformat()
    return {day: sums for day, sums in days.items() if first <= day <= last}
