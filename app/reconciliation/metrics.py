"""Prometheus metrics of the money: its live checks, refunds and disputes, and the reconciliation."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.reconciliation.runner import Reconciliation
from models.money_checks import MoneyViolation
from models.times import from_rfc3339
from web.indexes.money import AMOUNTS, MoneyIndex


class MoneyMetrics(Collector):
    """Of the partitions that this worker owns; amounts in minor units, times in seconds since the epoch."""

    def __init__(self, money: MoneyIndex, reconciliation: Reconciliation) -> None:
        self._money, self._reconciliation = money, reconciliation

    def collect(self) -> Iterator[Metric]:
        """Read everything now."""
        yield from self._of_money()
        yield from self._of_reconciliation()

    def _of_money(self) -> Iterator[Metric]:
        partitions = self._money.partitions()
        amounts = GaugeMetricFamily(
            "tiffin_money", "Money of all payments, in minor units", labels=["currency", "what"]
        )
        sums: Counter[tuple[str, str]] = Counter()
        broken, refunds = Counter(dict.fromkeys(MoneyViolation, 0)), Counter[str]()
        for partition in partitions:
            for currency, of_currency in self._money.totals(partition).items():
                sums.update({(currency, what): of_currency[what] for what in AMOUNTS})
            broken.update(code for _, code, _ in self._money.broken(partition))
            refunds.update(entry.state for entry in self._money.refunds(partition))
        for (currency, what), amount in sorted(sums.items()):
            amounts.add_metric([currency, what], amount)
        yield amounts
        invariants = GaugeMetricFamily(
            "tiffin_money_invariant_broken",
            "Orders of which an invariant of the money does not hold",
            labels=["code"],
        )
        for code, count in broken.items():
            invariants.add_metric([code], count)
        yield invariants
        states = GaugeMetricFamily(
            "tiffin_refunds",
            "Refunds by state; of those that are over the latest",
            labels=["state"],
        )
        for state, count in sorted(refunds.items()):
            states.add_metric([state], count)
        yield states
        waits = sum(map(self._money.waits_for_operator, partitions))
        yield _gauge(
            "tiffin_refunds_waiting_for_operator", "Orders whose refund failed", value=waits
        )

    def _of_reconciliation(self) -> Iterator[Metric]:
        done = CounterMetricFamily(
            "tiffin_reconciliation", "What the reconciliation has done", labels=["what"]
        )
        counters = self._reconciliation.counters
        for what in ("runs", "errors", "applied", "orphans"):
            done.add_metric([what], getattr(counters, what))
        yield done
        report = self._reconciliation.report
        if report is None:
            return  # another worker is the runner
        yield _gauge(
            "tiffin_reconciliation_run_at", "Last run", value=from_rfc3339(report.run_at) / 1000
        )
        yield _gauge(
            "tiffin_reconciliation_cursor",
            "Up to when all of Stripe's events are in Kafka",
            value=from_rfc3339(report.cursor) / 1000,
        )
        yield _gauge(
            "tiffin_reconciliation_differences",
            "Objects whose money differs from Stripe's",
            value=len(report.differences),
        )


def _gauge(name: str, about: str, *, value: float) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, about)
    gauge.add_metric([], value)
    return gauge
