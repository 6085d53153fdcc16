"""The report of payments: sums by minute, hour or day, added up over all workers; JSON or CSV."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from aiohttp import web

from models import ids
from models.analytics import (
    LENGTH_MS,
    BucketLength,
    Sums,
    bucket_of,
    load_row,
    parts_of,
    start_of,
)
from models.dead_letter import DeadLetterState
from models.times import to_rfc3339
from web.http.auth import authorize_staff
from web.http.commands import json_response
from web.http.context import CONTEXT, PAYMENTS, Context
from web.http.decoding import DecodingError, moment
from web.http.deps import Table
from web.http.problems import ProblemError
from web.http.scatter_gather import scatter_gather
from web.http.tokens import Role
from web.ops.payment_report import PaymentReport, csv_of, report_of
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

_TIMES: Final = "accepted: 2026-11-23, or 2026-11-23T07:00:00Z (a + in an address is %2B)"
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_RESTAURANT: Final = re.compile(r"[^\x00-\x1f\x7f]{1,60}")
QUERY: Final = {
    "from": "Begin, included: RFC 3339 or a date (UTC)",
    "to": "End, not included; by default now",
    "by": f"One of {', '.join(BucketLength)}; by default {BucketLength.HOUR}",
    "currency": "Only this ISO 4217 currency",
    "restaurant": "Only the restaurant with this id",
    "format": "json or csv; by default as Accept says",
}


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """What a report is to show; times in milliseconds since the epoch."""

    begin_ms: int
    end_ms: int
    by: BucketLength
    currency: str | None
    restaurant: str | None
    is_csv: bool

    @classmethod
    def of(cls, request: web.Request, now: datetime) -> Self:
        """Read the query. Raises ProblemError (400) that names each wrong parameter."""
        query, wrong = request.query, []
        wrong += [(n, f"accepted: {', '.join(QUERY)}") for n in sorted({*query} - {*QUERY})]
        wrong += [(name, "accepted: once") for name in QUERY if len(query.getall(name, ())) > 1]
        by = next((by for by in BucketLength if by == query.get("by", BucketLength.HOUR)), None)
        if by is None:
            wrong.append(("by", f"accepted: {', '.join(BucketLength)}"))
        for name, pattern in (("currency", _CURRENCY), ("restaurant", _RESTAURANT)):
            if name in query and not pattern.fullmatch(query[name]):
                wrong.append((name, f"accepted: {QUERY[name]}"))
        if query.get("format", "json") not in {"json", "csv"}:
            wrong.append(("format", "accepted: json, csv"))
        times = {name: _time(query[name]) for name in ("from", "to") if name in query}
        wrong += [(name, _TIMES) for name, time in times.items() if time is None]
        if wrong or by is None:
            raise ProblemError("VALIDATION_FAILED", errors=wrong)
        begin_ms, end_ms = _range(by, times.get("from"), times.get("to"), now)
        return cls(
            begin_ms=begin_ms, end_ms=end_ms, by=by, currency=query.get("currency"),
            restaurant=query.get("restaurant"), is_csv=_wants_csv(request),
        )  # fmt: skip

    def query(self) -> dict[str, str]:
        """The same question with nothing left to defaults."""
        given = {
            "from": to_rfc3339(self.begin_ms), "to": to_rfc3339(self.end_ms), "by": self.by.value,
            "currency": self.currency, "restaurant": self.restaurant,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value is not None}

    def prefixes(self) -> Iterator[str]:
        """Of the rows to look at, so that each holds a slice: an hour, a day or a month of buckets."""
        last, step = None, LENGTH_MS[self.by]
        for at_ms in range(self.begin_ms, self.end_ms, step):
            prefix = f"{self.by}/{bucket_of(self.by, at_ms)[:-2]}"
            if prefix != last:
                yield prefix
            last = prefix

    def wants(self, bucket: str, currency: str, restaurant_id: str) -> bool:
        """Whether a row belongs to the report."""
        return (
            self.begin_ms <= start_of(self.by, bucket) < self.end_ms
            and self.currency in {None, currency}
            and self.restaurant in {None, restaurant_id}
        )


async def report_payments(request: web.Request) -> web.StreamResponse:
    """Payments by minute, hour or day: attempts, declines, refunds, revenue, conversion, time to pay."""
    context = request.app[CONTEXT]
    await authorize_staff(request, context.deps, Role.OPERATOR)
    asked = ReportQuery.of(request, datetime.fromtimestamp(context.deps.now_ms() / 1000, UTC))

    async def share(partition: int) -> Any:
        sums = await _share(context.tables[ANALYTICS], partition, asked)
        turned_away = [q for q in quarantined_orders(context, partition) if q[1] in COUNTED]
        return {**sums, "quarantined": turned_away}

    def merged(shares: Mapping[int, Any], incomplete: tuple[int, ...]) -> web.Response:
        report = report_of(shares.values(), asked.begin_ms, asked.end_ms, asked.by, incomplete)
        report = report.model_copy(update={"uncounted": _uncounted(context)})
        return _csv_response(report) if asked.is_csv else json_response(report)

    return await scatter_gather(request, ANALYTICS, share, merged, query=asked.query())


def _uncounted(context: Context) -> int:
    operations = context.deps.operations
    return sum(
        letter.service == ANALYTICS and letter.state is DeadLetterState.OPEN and not letter.number
        for letter in (operations.dead_letters.all() if operations else ())
    )


async def _share(table: Table, partition: int, asked: ReportQuery) -> dict[str, dict[str, Sums]]:
    """One partition's sums, by bucket and by restaurant, each with a slash and the currency."""
    buckets: dict[str, Sums] = {}
    restaurants: dict[str, Sums] = {}
    for prefix in asked.prefixes():
        for key, raw in table.rows(prefix, partition):
            bucket, currency, restaurant_id = parts_of(key)
            if asked.wants(bucket, currency, restaurant_id):
                _, sums = load_row(raw)
                buckets.setdefault(f"{currency}/{bucket}", Counter()).update(sums)
                restaurants.setdefault(f"{currency}/{restaurant_id}", Counter()).update(sums)
        await asyncio.sleep(0)  # the worker's lanes go on between two slices
    return {"buckets": buckets, "restaurants": restaurants}


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


def _wants_csv(request: web.Request) -> bool:
    if "format" in request.query:
        return request.query["format"] == "csv"
    return "text/csv" in request.headers.get("Accept", "")


def _time(text: str) -> int | None:
    """Milliseconds since the epoch of a date or of a time that says its zone; None for others."""
    try:
        at = moment(text)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            at = at.replace(tzinfo=UTC)
        if at.tzinfo is None or not 2000 <= at.year < 3000:
            return None
    except DecodingError:
        return None
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _range(
    by: BucketLength, begin_ms: int | None, end_ms: int | None, now: datetime
) -> tuple[int, int]:
    """Whole buckets. Raises ProblemError (400) for none, and for more than are given at once."""
    step = LENGTH_MS[by]
    if end_ms is None:
        end_ms = int(now.timestamp() * 1000) + 1
    end_ms = -(-end_ms // step) * step
    begin_ms = end_ms - DEFAULT_BUCKETS[by] * step if begin_ms is None else begin_ms // step * step
    if not 0 < end_ms - begin_ms <= MAX_BUCKETS[by] * step:
        accepted = f"accepted: before `to`, and at most {MAX_BUCKETS[by]} buckets of one {by}"
        raise ProblemError("VALIDATION_FAILED", errors=[("from", accepted)])
    return begin_ms, end_ms
