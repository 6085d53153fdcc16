"""Prometheus metrics of the money: its live checks, refunds and disputes, and the reconciliation."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.metrics import counters, gauges
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
        yield gauges(
            "tiffin_money", "Money of all payments, in minor units", "currency what",
            dict(sorted(sums.items())),
        )  # fmt: skip
        yield gauges(
            "tiffin_money_invariant_broken",
            "Orders of which an invariant of the money does not hold", "code", broken,
        )  # fmt: skip
        yield gauges(
            "tiffin_refunds", "Refunds by state", "state",
            dict(sorted(refunds.items())),
        )  # fmt: skip
        yield GaugeMetricFamily(
            "tiffin_refunds_waiting_for_operator",
            "Orders whose refund failed",
            value=waiting,
        )
        done, report = self._reconciliation.counters, self._reconciliation.report
        yield counters("tiffin_reconciliation", "What the reconciliation has done", "what", done)
        if report is None:
            return  # another worker is the runner
        for name, about, value in (
            ("run_at", "Last run", from_rfc3339(report.run_at) / 1000),
            ("cursor", "Up to when all of Stripe's events are in Kafka",
             from_rfc3339(report.cursor) / 1000),
            ("differences", "Objects whose money differs from Stripe's", len(report.differences)),
        ):  # fmt: skip
            yield GaugeMetricFamily(f"tiffin_reconciliation_{name}", about, value=value)
