"""The report of payments: sums by minute, hour or day, added up over all workers; JSON or CSV."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from aiohttp import web

from models import ids
from models.analytics import LENGTH_MS, BucketLength, Sums, bucket_of, load_row, parts_of, start_of
from models.dead_letter import DeadLetterState
from models.times import to_rfc3339
from web.http.answers import json_answer
from web.http.context import PAYMENTS
from web.http.params import Params, one_of, param, text_that, time_ms
from web.http.problems import ProblemError
from web.http.route import AnyCall, Call
from web.http.scatter_gather import Gather, Missing, Shares
from web.ops.payment_report import PaymentReport, ReportShare, csv_of, report_of
from web.ops.stuck import quarantined_orders

ANALYTICS: Final = "analytics"
MAX_BUCKETS: Final = {BucketLength.MINUTE: 1440, BucketLength.HOUR: 744, BucketLength.DAY: 366}
"""A day of minutes, a month of hours, a year of days."""
DEFAULT_BUCKETS: Final = {BucketLength.MINUTE: 60, BucketLength.HOUR: 24, BucketLength.DAY: 30}
"""Without `from`."""
INCOMPLETE: Final = "Tiffin-Incomplete"
"""Header of a CSV: partitions that did not answer, such as "0,2"."""
QUARANTINED: Final = "Tiffin-Quarantined"
"""Header of a CSV: orders of which something may be missing, the first hundred, such as "order_a,order_b"."""
UNCOUNTED: Final = "Tiffin-Uncounted"
"""Header of a CSV: `uncounted` of the report, unless 0."""
COUNTED: Final = frozenset({ANALYTICS, PAYMENTS})
"""Services through which a payment is counted; one that turns an order away leaves the sums short."""

_TIME: Final = time_ms(
    "2026-11-23, or 2026-11-23T07:00:00Z (a + in an address is %2B)",
    years=range(2000, 3000),
    plus="",
)


def _matching(pattern: str, text: str) -> Any:
    return param(text_that(re.compile(pattern).fullmatch, text), text)


class ReportParams(Params):
    """Times in milliseconds since the epoch."""

    is_strict: ClassVar[bool] = True

    begin_ms: int | None = param(_TIME, "Begin, included: RFC 3339 or a date (UTC)", name="from")
    end_ms: int | None = param(_TIME, "End, not included; by default now", name="to")
    by: BucketLength = param(
        lambda text: BucketLength(one_of(BucketLength)(text)),
        f"One of {', '.join(BucketLength)}; by default {BucketLength.HOUR}",
        default=BucketLength.HOUR,
    )
    currency: str | None = _matching(r"[A-Z]{3}", "Only this ISO 4217 currency")
    restaurant: str | None = _matching(
        r"[^\x00-\x1f\x7f]{1,60}", "Only the restaurant with this id"
    )
    format: str | None = param(one_of(("json", "csv")), "json or csv; by default as Accept says")


class ReportPayments(Gather[ReportShare, PaymentReport]):
    """Payments by minute, hour or day: attempts, declines, refunds, revenue, conversion, time to pay."""

    service, share_type = ANALYTICS, ReportShare

    def __init__(self, call: AnyCall) -> None:
        """With the defaults that depend on the time; times in milliseconds. Raises ProblemError (400)."""
        super().__init__(call)
        self.asked: ReportParams = call.params
        self.begin_ms, self.end_ms = _range(self.asked, self.context.deps.now_ms())
        given = {
            "from": to_rfc3339(self.begin_ms), "to": to_rfc3339(self.end_ms),
            "by": self.asked.by.value, "currency": self.asked.currency,
            "restaurant": self.asked.restaurant,
        }  # fmt: skip
        self.query = {name: value for name, value in given.items() if value is not None}

    async def share(self, partition: int) -> ReportShare:
        """Of an owned partition."""
        table = self.context.tables[ANALYTICS]
        buckets: dict[str, Sums] = {}
        restaurants: dict[str, Sums] = {}
        for prefix in self._prefixes():
            for key, raw in table.rows(prefix, partition):
                bucket, currency, restaurant_id = parts_of(key)
                if self._wants(bucket, currency, restaurant_id):
                    _, sums = load_row(raw)
                    buckets.setdefault(f"{currency}/{bucket}", Counter()).update(sums)
                    restaurants.setdefault(f"{currency}/{restaurant_id}", Counter()).update(sums)
            await asyncio.sleep(0)  # the worker's other tasks go on between two slices
        found = quarantined_orders(self.context, partition)
        quarantined = tuple(each for each in found if each[1] in COUNTED)
        return ReportShare(buckets=buckets, restaurants=restaurants, quarantined=quarantined)

    async def merged(self, shares: Shares[ReportShare], missing: Missing) -> PaymentReport:
        """Added up."""
        report = report_of(shares.values(), self.begin_ms, self.end_ms, self.asked.by, missing)
        operations = self.context.deps.operations
        uncounted = sum(
            letter.service == ANALYTICS
            and letter.state is DeadLetterState.OPEN
            and not letter.number
            for letter in (operations.dead_letters.all() if operations else ())
        )
        return report.model_copy(update={"uncounted": uncounted})

    def _prefixes(self) -> Iterator[str]:
        """Of the rows to look at, so that each holds a slice: an hour, a day or a month of buckets."""
        last, by = None, self.asked.by
        for at_ms in range(self.begin_ms, self.end_ms, LENGTH_MS[by]):
            prefix = f"{by}/{bucket_of(by, at_ms)[:-2]}"
            if prefix != last:
                yield prefix
            last = prefix

    def _wants(self, bucket: str, currency: str, restaurant_id: str) -> bool:
        return (
            self.begin_ms <= start_of(self.asked.by, bucket) < self.end_ms
            and self.asked.currency in {None, currency}
            and self.asked.restaurant in {None, restaurant_id}
        )


def report_answer(call: Call[ReportParams, None], report: PaymentReport) -> web.Response:
    """As JSON or CSV."""
    wanted = call.params.format
    accepts = "text/csv" in call.request.headers.get("Accept", "")
    is_csv = wanted == "csv" or (wanted is None and accepts)
    return _csv_response(report) if is_csv else json_answer(call, report)


def _csv_response(report: PaymentReport) -> web.Response:
    name = f"payments-{report.begin[:10]}-by-{report.by}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if report.incomplete:
        headers[INCOMPLETE] = ",".join(map(str, report.incomplete))
    if report.quarantined:
        named = dict.fromkeys(row.order_id for row in report.quarantined)
        headers[QUARANTINED] = ",".join(each for each in named if ids.is_order_id(each))
    if report.uncounted:
        headers[UNCOUNTED] = str(report.uncounted)
    return web.Response(
        text=csv_of(report), content_type="text/csv", charset="utf-8", headers=headers
    )


def _range(asked: ReportParams, now_ms: int) -> tuple[int, int]:
    """Whole buckets. Raises ProblemError (400) for none, and for more than are given at once."""
    by, step = asked.by, LENGTH_MS[asked.by]
    end_ms = now_ms + 1 if asked.end_ms is None else asked.end_ms
    end_ms = -(-end_ms // step) * step
    begin_ms = end_ms - DEFAULT_BUCKETS[by] * step
    if asked.begin_ms is not None:
        begin_ms = asked.begin_ms // step * step
    if not 0 < end_ms - begin_ms <= MAX_BUCKETS[by] * step:
        accepted = f"accepted: before `to`, and at most {MAX_BUCKETS[by]} buckets of one {by}"
        raise ProblemError("VALIDATION_FAILED", errors=[("from", accepted)])
    return begin_ms, end_ms
