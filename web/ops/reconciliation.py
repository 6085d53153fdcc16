"""What reconciliation found and what the live checks of money say, over all workers, for operators."""

from collections import Counter
from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, Any, Final

from models.index_entries import TOTALS
from models.money_checks import VIOLATION_DESCRIPTIONS, MoneyViolation
from models.reconciliation import (
    DayTotals,
    MissingEvent,
    MovementKind,
    Orphan,
    ReconciliationReport,
)
from models.times import to_rfc3339
from web.api.views import view_of
from web.http.answers import Money
from web.http.api_model import AS_MESSAGE, ApiModel
from web.http.context import PAYMENTS
from web.http.scatter_gather import Gather, Missing, Shares

RECONCILIATION_PARTITION: Final = 0
"""The partition whose owner runs it."""
MAX_LISTED: Final = 200


class ReconciliationVerdict(StrEnum):
    """DIFFERS: money differs, or a live check does not hold. SETTLING: what differs is young.

    UNFINISHED: the last run could not do all, or a worker did not answer. UNKNOWN: there was no
    comparison yet. AGREES: nothing is broken and nothing differs.
    """

    DIFFERS = "DIFFERS"
    SETTLING = "SETTLING"
    UNFINISHED = "UNFINISHED"
    UNKNOWN = "UNKNOWN"
    AGREES = "AGREES"


class DifferenceView(ApiModel):
    """An object about whose money the two sides do not agree; a side that does not know it is left out."""

    kind: MovementKind
    id: str
    order_id: str
    stripe: Money | None = None
    tiffin: Money | None = None
    day: str
    since: str


class SidesView(ApiModel):
    """A sum by each side's word; difference: Stripe's less ours."""

    stripe: Money
    tiffin: Money
    difference: Money


class DayView(ApiModel):
    """What moved on a day (UTC) in one currency. differing: objects of it that do not agree."""

    day: str
    currency: str
    charged: SidesView
    refunded: SidesView
    disputed: SidesView
    differing: int


class RunView(ApiModel):
    """What the latest runs found; see models.reconciliation.ReconciliationReport.

    orphans: payment intents of no order.
    """

    run_at: str
    cursor: str
    listed: int
    problems: tuple[str, ...]
    missing: tuple[Annotated[MissingEvent, AS_MESSAGE], ...]
    missing_total: int
    orphans: tuple[Annotated[Orphan, AS_MESSAGE], ...]
    orphans_total: int
    compared_at: str | None = None
    compared_since: str | None = None
    totals: tuple[DayView, ...]
    differences: tuple[DifferenceView, ...]
    settling: tuple[DifferenceView, ...]
    unchecked: int
    unusable: int


class CurrencyView(ApiModel):
    """All payments that Tiffin's tables hold in one currency. net: captured - refunded - disputed."""

    currency: str
    payments: int
    authorised: Money
    captured: Money
    refunded: Money
    refund_pending: Money
    disputed: Money
    net: Money


class BrokenView(ApiModel):
    """What does not hold of an order's money, longer than anything is in flight."""

    code: str
    meaning: str
    order_id: str
    since: str


class InvariantsView(ApiModel):
    """The live checks, as of a time. waitsForOperator: orders whose refund failed and can be retried."""

    as_of: str
    is_whole: bool
    broken: tuple[BrokenView, ...]
    broken_total: int
    waits_for_operator: int
    totals: tuple[CurrencyView, ...]


class ReconciliationView(ApiModel):
    """verdict: all of it in one word. isClean: whether that is AGREES.

    differing: objects that differ, listed or still settling, of all days shown. run: left out until
    the runner has finished its first run here. incomplete: partitions that did not answer.
    """

    verdict: ReconciliationVerdict
    is_clean: bool
    differing: int
    run: RunView | None = None
    invariants: InvariantsView
    incomplete: tuple[int, ...]


class MoneyShare(ApiModel):
    """broken: order, violation, since when (ms); at most MAX_LISTED of broken_total. waits: for operators."""

    totals: dict[str, Counter[str]]
    broken: tuple[tuple[str, MoneyViolation, int], ...]
    broken_total: int
    waits: int
    report: Annotated[ReconciliationReport, AS_MESSAGE] | None = None


class ShowReconciliation(Gather[MoneyShare, ReconciliationView]):
    """The latest run against Stripe, and the live checks of all workers."""

    service, open_services, share_type = PAYMENTS, (PAYMENTS,), MoneyShare

    async def share(self, partition: int) -> MoneyShare:
        """Of an owned partition."""
        deps, is_runner = self.context.deps, partition == RECONCILIATION_PARTITION
        found = list(deps.money.broken(partition))
        return MoneyShare(
            totals={code: Counter(sums) for code, sums in deps.money.totals(partition).items()},
            broken=tuple(found[:MAX_LISTED]),
            broken_total=len(found),
            waits=deps.money.waits_for_operator(partition),
            report=deps.reconciliation() if is_runner else None,
        )

    async def merged(self, shares: Shares[MoneyShare], missing: Missing) -> ReconciliationView:
        """Of all workers."""
        runner = shares.get(RECONCILIATION_PARTITION)
        report = runner.report if runner else None
        invariants = _invariants(shares.values(), missing, self.context.deps.now_ms())
        verdict = _verdict_of(report, is_broken=bool(invariants.broken_total), is_whole=not missing)
        return ReconciliationView(
            verdict=verdict,
            is_clean=verdict is ReconciliationVerdict.AGREES,
            differing=len(report.differences) + len(report.settling) if report else 0,
            run=_run(report) if report else None,
            invariants=invariants,
            incomplete=missing,
        )


def _verdict_of(
    report: Annotated[ReconciliationReport, AS_MESSAGE] | None, *, is_broken: bool, is_whole: bool
) -> ReconciliationVerdict:
    """What a headline may say, so that no table below contradicts it."""
    is_uneven = report is not None and any(not day.is_even for day in report.totals)
    if is_broken or (report and report.differences):
        return ReconciliationVerdict.DIFFERS
    if report and (report.settling or is_uneven):
        return ReconciliationVerdict.SETTLING
    if not is_whole or (report and (report.problems or report.unchecked)):
        return ReconciliationVerdict.UNFINISHED
    if report is None or report.compared_at is None:
        return ReconciliationVerdict.UNKNOWN
    return ReconciliationVerdict.AGREES


def _invariants(
    shares: Collection[MoneyShare], missing: tuple[int, ...], now_ms: int
) -> InvariantsView:
    totals: dict[str, Counter[str]] = {}
    for share in shares:
        for currency, sums in share.totals.items():
            totals.setdefault(currency, Counter()).update(sums)
    broken = [
        BrokenView(
            code=code,
            meaning=VIOLATION_DESCRIPTIONS[code],
            order_id=order_id,
            since=to_rfc3339(since_ms),
        )
        for share in shares
        for order_id, code, since_ms in share.broken
    ]
    broken.sort(key=lambda row: (row.since, row.order_id))
    return InvariantsView(
        as_of=to_rfc3339(now_ms),
        is_whole=not missing,
        broken=tuple(broken[:MAX_LISTED]),
        broken_total=sum(share.broken_total for share in shares),
        waits_for_operator=sum(share.waits for share in shares),
        totals=tuple(
            CurrencyView(
                currency=currency,
                payments=sums["payments"],
                **{name: Money.of(sums[name], currency) for name in TOTALS},
            )
            for currency, sums in sorted(totals.items())
        ),
    )


def _run(report: ReconciliationReport) -> RunView:
    return view_of(
        RunView,
        report,
        totals=tuple(map(_day, report.totals)),
        differences=tuple(view_of(DifferenceView, each) for each in report.differences),
        settling=tuple(view_of(DifferenceView, each) for each in report.settling),
    )


def _day(day: DayTotals) -> DayView:
    sides: dict[str, Any] = {}
    for name in ("charged", "refunded", "disputed"):
        of = getattr(day, name)
        sides[name] = view_of(
            SidesView, of, currency=day.currency, difference=of.stripe - of.tiffin
        )
    return view_of(DayView, day, **sides)
