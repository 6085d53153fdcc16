"""Analytics: what each payment event adds to the sums of its minute, hour and day.

Sums are counters by name, all of them additive: over the partitions, over restaurants, over minutes. The
times to pay are the bins of a DDSketch, which merge by addition as well and give quantiles within 1 %.
"""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote, unquote

import orjson
from ddsketch.ddsketch import BaseDDSketch
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import DenseStore

from models.events import Event, EventType, PaymentDispute, PaymentFailed
from models.messages import Message
from models.payment import Payment
from models.times import DAY_MS, HOUR_MS, MINUTE_MS

E = EventType


class BucketLength(StrEnum):
    """How long a bucket is; UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


LENGTH_MS: Final = {
    BucketLength.MINUTE: MINUTE_MS,
    BucketLength.HOUR: HOUR_MS,
    BucketLength.DAY: DAY_MS,
}
_FORMAT: Final = {
    BucketLength.MINUTE: "%Y%m%d%H%M",
    BucketLength.HOUR: "%Y%m%d%H",
    BucketLength.DAY: "%Y%m%d",
}


class Sum(StrEnum):
    """Names of the counters; amounts are minor units, times milliseconds.

    CONVERTED: of the payments initiated in this bucket, those completed, whenever that was; all else is
    counted when it happened. REFUNDED and DISPUTED fall when the money comes back. DECLINES and PAID are
    followed by a slash and the reason, or the bin of the time from initiated to completed.
    """

    INITIATED = "initiated"
    CONVERTED = "converted"
    ATTEMPTS = "attempts"
    COMPLETED = "completed"
    DECLINED = "declined"
    DECLINES = "declines"
    CANCELLED = "cancelled"
    REFUNDS = "refunds"
    REFUNDS_FAILED = "refundsFailed"
    DISPUTES = "disputes"
    DISPUTES_WON = "disputesWon"
    DISPUTES_LOST = "disputesLost"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    PAID = "paid"
    PAID_MS = "paidMs"


Sums = Counter[str]
COUNTED_AS: Final = {
    E.PAYMENT_INITIATED: Sum.INITIATED,
    E.PAYMENT_PROCESSING: Sum.ATTEMPTS,
    E.PAYMENT_COMPLETED: Sum.COMPLETED,
    E.PAYMENT_FAILED: Sum.DECLINED,
    E.PAYMENT_CANCELLED: Sum.CANCELLED,
    E.PAYMENT_REFUNDED: Sum.REFUNDS,
    E.PAYMENT_REFUND_PARTIAL: Sum.REFUNDS,
    E.PAYMENT_REFUND_FAILED: Sum.REFUNDS_FAILED,
}
"""Types that are counted as they are; disputes are told apart by what was known before."""
WHEN_CLOSED: Final = {"won": Sum.DISPUTES_WON, "lost": Sum.DISPUTES_LOST}
OTHER_REASON: Final = "other"
MAX_DECLINE_REASONS: Final = 100
"""Of declines, told apart in one row: Stripe has fewer, and a row must stay small."""
_REASON: Final = re.compile(r"\w{1,60}", re.ASCII)
ACCURACY: Final = 0.01
"""Of a quantile, relative."""
_MAPPING: Final = LogarithmicMapping(ACCURACY)


class CountedPayment(Message):
    """An order's record: its payment as far as it has been counted."""

    payment: Payment
    restaurant_id: str = ""


def bucket_of(by: BucketLength, at_ms: int) -> str:
    """The bucket that a time falls into, as row keys name it: 202611230701 is a minute."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime(_FORMAT[by])


def start_of(by: BucketLength, bucket: str) -> int:
    """When a bucket begins, in milliseconds since the epoch."""
    return round(datetime.strptime(bucket, _FORMAT[by]).replace(tzinfo=UTC).timestamp() * 1000)


def row_key(by: BucketLength, bucket: str, currency: str, restaurant_id: str) -> str:
    """Key of the row that sums up a bucket in one partition."""
    return f"{by}/{bucket}/{currency}/{quote(restaurant_id, safe='')}"


def parts_of(key: str) -> tuple[str, str, str]:
    """Bucket, currency and restaurant of a row's key."""
    _, bucket, currency, restaurant = key.split("/")
    return bucket, currency, unquote(restaurant)


def load_row(raw: bytes | None) -> tuple[int, Sums]:
    """The last offset that a row holds (-1: none), and its sums."""
    if raw is None:
        return -1, Counter()
    row = orjson.loads(raw)
    return row["offset"], Counter(row["sums"])


def dump_row(offset: int, sums: Sums) -> bytes:
    """A row as it is stored."""
    return orjson.dumps({"offset": offset, "sums": sums}, option=orjson.OPT_NON_STR_KEYS)


def restarted_row(raw: bytes) -> bytes:
    """A row's sums as those of a topic that nothing has been read of: its offsets begin anew."""
    return dump_row(-1, load_row(raw)[1])


def additions(
    before: Payment | None, event: Event, after: Payment, restaurant_id: str
) -> dict[str, Sums]:
    """What an event adds: row key -> sums, of all three lengths. before, after: the payment folded."""
    now, at = _sums(before, event, after), event.occurred_at_ms
    took_ms = _time_to_pay(before, after)
    added: dict[str, Sums] = {}
    for by in BucketLength:
        sums = Counter(now)
        if took_ms is not None and by is not BucketLength.MINUTE:
            sums[f"{Sum.PAID}/{bin_of(took_ms)}"] += 1
            sums[Sum.PAID_MS] += took_ms
        key = row_key(by, bucket_of(by, at), after.currency, restaurant_id)
        added[key] = sums
        if took_ms is not None:
            begun = row_key(by, bucket_of(by, after.initiated_at), after.currency, restaurant_id)
            added.setdefault(begun, Counter())[Sum.CONVERTED] += 1
    return {key: sums for key, sums in added.items() if sums}


def _sums(before: Payment | None, event: Event, after: Payment) -> Sums:
    sums: Sums = Counter()
    name = COUNTED_AS.get(event.event_type)
    if name:
        sums[name] += 1
    if isinstance(event.data, PaymentFailed):
        reason = event.data.failure_reason
        sums[f"{Sum.DECLINES}/{reason if _REASON.fullmatch(reason) else OTHER_REASON}"] += 1
    if isinstance(event.data, PaymentDispute):
        if before is None or event.data.dispute_id not in before.disputes:
            sums[Sum.DISPUTES] += 1
        earlier = before.disputes.get(event.data.dispute_id) if before else None
        # A bank may decide otherwise later: each dispute counts once, as it was decided last.
        for dispute, change in ((earlier, -1), (after.disputes[event.data.dispute_id], 1)):
            if dispute and dispute.status in WHEN_CLOSED:
                sums[WHEN_CLOSED[dispute.status]] += change
    sums[Sum.CAPTURED] += after.captured - (before.captured if before else 0)
    sums[Sum.REFUNDED] += after.refunded - (before.refunded if before else 0)
    sums[Sum.DISPUTED] += after.disputed - (before.disputed if before else 0)
    return Counter({key: count for key, count in sums.items() if count})


def _time_to_pay(before: Payment | None, after: Payment) -> int | None:
    """Milliseconds from initiated to completed, at the first completion."""
    if after.completed_at is None or (before and before.completed_at is not None):
        return None
    return after.completed_at - after.initiated_at


def add(sums: Sums, added: Sums) -> None:
    """Add to a row's sums; reasons of declines beyond the first `MAX_DECLINE_REASONS` count as others."""
    room = MAX_DECLINE_REASONS - len(grouped(sums, Sum.DECLINES))
    for name, count in added.items():
        is_new_reason = name.startswith(f"{Sum.DECLINES}/") and name not in sums
        if is_new_reason and room <= 0:
            sums[f"{Sum.DECLINES}/{OTHER_REASON}"] += count
        else:
            sums[name] += count
            room -= is_new_reason


def revenue(sums: Mapping[str, int]) -> int:
    """Captured - refunded - disputed + reinstated, in minor units."""
    return sums.get(Sum.CAPTURED, 0) - sums.get(Sum.REFUNDED, 0) - sums.get(Sum.DISPUTED, 0)


def grouped(sums: Mapping[str, int], name: Sum) -> dict[str, int]:
    """The counters under a name: reason -> count, bin -> count."""
    prefix = f"{name}/"
    return {key[len(prefix) :]: n for key, n in sums.items() if key.startswith(prefix)}


def bin_of(took_ms: int) -> int:
    """The sketch's bin of a time; less than a millisecond counts as one."""
    return _MAPPING.key(max(1, took_ms))


def quantiles(sums: Mapping[str, int], *wanted: float) -> list[int]:
    """Quantiles (0 to 1) of the time to pay in milliseconds; empty when nothing was paid."""
    store: Any = DenseStore()
    for key, count in sorted((int(key), n) for key, n in grouped(sums, Sum.PAID).items()):
        store.add(key, count)
    if not store.count:
        return []
    sketch = BaseDDSketch(_MAPPING, store, DenseStore(), 0.0)
    return [round(sketch.get_quantile_value(quantile) or 0) for quantile in wanted]
