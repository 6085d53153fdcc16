"""Metrics of what this worker takes on and what it refuses because there is too much to do."""

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.families import single, values
from web.http.admission import Admission, WorkClass


class AdmissionMetrics(Collector):
    """The collector of an `Admission`."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def collect(self) -> Iterator[Metric]:
        """Read it now."""
        found = self._admission
        yield values(
            "tiffin_admission_total",
            {
                (work, result): counts[work]
                for result, counts in (("admitted", found.admitted), ("refused", found.refused))
                for work in WorkClass
            },
        )
        yield values(
            "tiffin_admission_refused_share", {work: found.share(work) for work in WorkClass}
        )
        yield single("tiffin_admission_delay_seconds", found.delay_s)
