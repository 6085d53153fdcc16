"""Prometheus metrics of the money: its live checks, refunds and disputes, and the reconciliation."""

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.families import single, values
from app.reconciliation.runner import Reconciliation
from models.index_entries import TOTALS
from models.money_checks import MoneyViolation
from models.times import from_rfc3339
from web.indexes.money import MoneyIndex


class MoneyMetrics(Collector):
    """Of the partitions that this worker owns; amounts in minor units, times in seconds since the epoch."""

    def __init__(self, money: MoneyIndex, reconciliation: Reconciliation) -> None:
        self._money, self._reconciliation = money, reconciliation

    def collect(self) -> Iterator[Metric]:
        """Read everything now."""
        partitions = self._money.partitions()
        waiting = sum(map(self._money.waits_for_operator, partitions))
        sums: Counter[tuple[str, str]] = Counter()
        broken, refunds = Counter(dict.fromkeys(MoneyViolation, 0)), Counter[str]()
        for partition in partitions:
            for currency, of_currency in self._money.totals(partition).items():
                sums.update({(currency, what): of_currency[what] for what in TOTALS})
            broken.update(code for _, code, _ in self._money.broken(partition))
            refunds.update(self._money.refund_counts(partition))
        yield values("tiffin_money_minor_units", dict(sorted(sums.items())))
        yield values("tiffin_money_invariant_broken", broken)
        yield values("tiffin_refunds", dict(sorted(refunds.items())))
        yield single("tiffin_refunds_waiting_for_operator", waiting)
        yield from self._disputes(partitions)
        for what, count in self._reconciliation.counters.items():
            yield single(f"tiffin_reconciliation_{what}_total", count)
        report = self._reconciliation.report
        if report is None:
            return  # another worker is the runner
        for name, at in (("run", report.run_at), ("cursor", report.cursor)):
            at_s = from_rfc3339(at) / 1000
            yield single(f"tiffin_reconciliation_{name}_timestamp_seconds", at_s)
        yield single("tiffin_reconciliation_differences", len(report.differences))

    def _disputes(self, partitions: Iterable[int]) -> Iterator[Metric]:
        found = [each for of in map(self._money.open_disputes, partitions) for each in of]
        yield single("tiffin_disputes_open", len(found))
        due_s = [from_rfc3339(due) / 1000 for each in found if (due := each.evidence_due_by)]
        if due_s:
            yield single("tiffin_dispute_evidence_due_timestamp_seconds", min(due_s))
