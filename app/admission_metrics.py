"""Metrics of what this worker takes on and what it refuses because there is too much to do."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.metrics import counters, gauges
from web.http.admission import Admission, WorkClass


class AdmissionMetrics(Collector):
    """The collector of an `Admission`."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def collect(self) -> Iterator[Metric]:
        """Read it now."""
        found = self._admission
        yield counters(
            "tiffin_admission", "New orders and confirms that were taken on, or refused under load",
            "work result",
            {
                (work, result): counts[work]
                for result, counts in (("admitted", found.admitted), ("refused", found.refused))
                for work in WorkClass
            },
        )  # fmt: skip
        yield gauges(
            "tiffin_admission_refused_share", "Share of this work that is refused now", "work",
            {work: found.share(work) for work in WorkClass},
        )  # fmt: skip
        yield GaugeMetricFamily(
            "tiffin_admission_delay_seconds",
            "How long commands wait in this worker's queues until they are decided and durable",
            value=found.delay_s,
        )
