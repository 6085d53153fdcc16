"""What the report of payments shows: sums as a report, as lines of a CSV."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import Field

from models.analytics import BucketLength, Sum, Sums, grouped, quantiles, revenue, start_of
from models.times import to_rfc3339
from web.http.answers import Money
from web.http.api_model import ApiModel

MAX_NAMED_QUARANTINED: Final = 100


class ReportShare(ApiModel):
    """Sums by bucket and by restaurant, each behind the currency and a slash.

    quarantined: orders, each with the service and the time (milliseconds since the epoch).
    """

    buckets: dict[str, Sums]
    restaurants: dict[str, Sums]
    quarantined: tuple[tuple[str, str, int], ...] = ()


class DeclinedAttempts(ApiModel):
    """Attempts that failed; reasons are Stripe's decline codes and our own."""

    count: int
    reasons: dict[str, int]


class TimeToPay(ApiModel):
    """From initiated to completed, of what was completed here; quantiles are within 1 %."""

    count: int
    mean_ms: int
    p50_ms: int
    p90_ms: int
    p99_ms: int


class Payments(ApiModel):
    """Sums of payments. conversion: of those initiated here, the part that was ever completed.

    refunded, disputed: less what came back. revenue: captured - refunded - disputed.
    """

    currency: str
    initiated: int
    converted: int
    conversion: float | None = None
    attempts: int
    completed: int
    declined: DeclinedAttempts
    cancelled: int
    refunds: int
    refunds_failed: int
    disputes: int
    disputes_won: int
    disputes_lost: int
    captured: Money
    refunded: Money
    disputed: Money
    revenue: Money
    time_to_pay: TimeToPay | None = None


COUNTS: Final = [n for n, field in Payments.model_fields.items() if field.annotation is int]
"""Those that are the sum of the same name."""


class Bucket(Payments):
    """A minute, an hour or a day in which something happened."""

    start: str


class RestaurantPayments(Payments):
    """The whole range, of one restaurant."""

    restaurant_id: str


class QuarantinedOrder(ApiModel):
    """An order whose inputs a service turns away: what came since is not counted yet."""

    order_id: str
    service: str
    since: str


class PaymentReport(ApiModel):
    """from, to: as they were taken, whole buckets. incomplete: partitions that did not answer.

    quarantined: orders some of whose payments, refunds and so on may be missing in the sums, whatever
    the range; the longest first, at most 100 of quarantinedTotal. uncounted: open dead letters of analytics
    beside those: records that could not be counted, whatever the range; foreign ones among them.
    """

    begin: str = Field(alias="from")
    to: str
    by: BucketLength
    time_zone: str = "UTC"
    buckets: tuple[Bucket, ...]
    totals: tuple[Payments, ...]
    restaurants: tuple[RestaurantPayments, ...]
    quarantined: tuple[QuarantinedOrder, ...]
    quarantined_total: int
    uncounted: int = 0
    incomplete: tuple[int, ...]


def report_of(
    shares: Iterable[ReportShare],
    begin_ms: int,
    end_ms: int,
    by: BucketLength,
    incomplete: tuple[int, ...],
) -> PaymentReport:
    """Add up the partitions' shares and show them."""
    buckets: dict[str, Sums] = {}
    restaurants: dict[str, Sums] = {}
    totals: dict[str, Sums] = {}
    quarantined: list[tuple[int, str, str]] = []
    for share in shares:
        quarantined += [(since, order, service) for order, service, since in share.quarantined]
        for key, sums in share.buckets.items():
            buckets.setdefault(key, Counter()).update(sums)
            totals.setdefault(key.partition("/")[0], Counter()).update(sums)
        for key, sums in share.restaurants.items():
            restaurants.setdefault(key, Counter()).update(sums)
    return PaymentReport(
        begin=to_rfc3339(begin_ms),
        to=to_rfc3339(end_ms),
        by=by,
        buckets=tuple(
            Bucket(start=to_rfc3339(start_of(by, bucket)), **_shown(currency, sums))
            for bucket, currency, sums in _sorted(buckets)
        ),
        totals=tuple(Payments(**_shown(*total)) for total in sorted(totals.items())),
        restaurants=tuple(
            RestaurantPayments(restaurant_id=restaurant_id, **_shown(currency, sums))
            for restaurant_id, currency, sums in _sorted(restaurants)
        ),
        quarantined=tuple(
            QuarantinedOrder(order_id=order_id, service=service, since=to_rfc3339(since_ms))
            for since_ms, order_id, service in sorted(quarantined)[:MAX_NAMED_QUARANTINED]
        ),
        quarantined_total=len(quarantined),
        incomplete=incomplete,
    )


def _sorted(found: Mapping[str, Sums]) -> list[tuple[str, str, Sums]]:
    """By what follows the currency in the key, then by currency."""
    rows = [(*key.partition("/")[::-2], sums) for key, sums in found.items()]
    return sorted(rows, key=lambda row: row[:2])


def _shown(currency: str, sums: Sums) -> dict[str, Any]:
    """The fields of `Payments`."""
    initiated, converted = sums[Sum.INITIATED], sums[Sum.CONVERTED]
    declines = sorted(grouped(sums, Sum.DECLINES).items(), key=lambda row: (-row[1], row[0]))
    amounts = {str(each): sums[each] for each in (Sum.CAPTURED, Sum.REFUNDED, Sum.DISPUTED)}
    amounts["revenue"] = revenue(sums)
    return {
        "currency": currency,
        **{name: sums[Sum[name.upper()]] for name in COUNTS},
        "conversion": round(converted / initiated, 4) if initiated else None,
        "declined": DeclinedAttempts(count=sums[Sum.DECLINED], reasons=dict(declines)),
        **{name: Money.of(amount, currency) for name, amount in amounts.items()},
        "time_to_pay": _time_to_pay(sums),
    }


def _time_to_pay(sums: Sums) -> TimeToPay | None:
    """None also by minute: only the rows of hours and days keep the times."""
    found = quantiles(sums, 0.5, 0.9, 0.99)
    if not found:
        return None
    count = sum(grouped(sums, Sum.PAID).values())
    shown = dict(zip(("p50_ms", "p90_ms", "p99_ms"), found, strict=True))
    return TimeToPay(count=count, mean_ms=sums[Sum.PAID_MS] // count, **shown)


CSV_COLUMNS: Final = (
    "start", "currency", "initiated", "converted", "conversion", "attempts", "completed",
    "declined", "declineReasons", "cancelled", "refunds", "refundsFailed", "disputes",
    "disputesWon", "disputesLost", "captured", "refunded", "disputed", "revenue", "paidMeanMs",
    "paidP50Ms", "paidP90Ms", "paidP99Ms", "incomplete", "quarantined",
)  # fmt: skip
"""Amounts are decimals of the currency; declineReasons as reason=count. In every line: incomplete, and
quarantined, the number of orders of which something may be missing."""


def _cell(text: str) -> str:
    """Text that a spreadsheet does not take for a formula, whoever named the reason."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def csv_of(report: PaymentReport) -> str:
    """The buckets, a line each."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    incomplete = " ".join(map(str, report.incomplete))
    for row in report.buckets:
        times = row.time_to_pay
        shares = (times.mean_ms, times.p50_ms, times.p90_ms, times.p99_ms) if times else ("",) * 4
        reasons = _cell(";".join(f"{name}={count}" for name, count in row.declined.reasons.items()))
        conversion = "" if row.conversion is None else row.conversion
        writer.writerow(
            [row.start, row.currency, row.initiated, row.converted, conversion, row.attempts,
             row.completed, row.declined.count, reasons, row.cancelled, row.refunds,
             row.refunds_failed, row.disputes, row.disputes_won, row.disputes_lost,
             row.captured.display, row.refunded.display, row.disputed.display, row.revenue.display,
             *shares, incomplete, report.quarantined_total]
        )  # fmt: skip
    return text.getvalue()
