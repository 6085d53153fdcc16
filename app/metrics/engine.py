"""Histograms of the engine: a handful of observations a commit batch, none for a record."""

import time
from collections.abc import Callable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.families import Histogram
from tables import CommitReport


class EngineMetrics(Collector):
    """Is told of each commit batch that is durable."""

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        """now_s: Kafka's clock, which stamped the inputs."""
        self._now_s = now_s
        self._inputs = Histogram("tiffin_commit_batch_inputs")
        self._steps = Histogram("tiffin_commit_batch_step_duration_seconds")
        self._state = Histogram("tiffin_input_state_durable_seconds")
        self._outputs = Histogram("tiffin_input_outputs_durable_seconds")

    def commit_batch(self, report: CommitReport) -> None:
        """Count one whose outputs have just become durable."""
        service = report.service
        self._inputs.observe(report.inputs, service)
        self._steps.observe(report.changelog_s, service, "changelog")
        self._steps.observe(report.rocksdb_s, service, "rocksdb")
        self._steps.observe(report.outputs_s, service, "outputs")
        if report.arrived_ms > 0:
            took_s = max(0.0, self._now_s() - report.arrived_ms / 1000)
            self._outputs.observe(took_s, service)
            self._state.observe(max(0.0, took_s - report.outputs_s), service)

    def collect(self) -> Iterator[Metric]:
        """Since the worker's start."""
        for histogram in (self._inputs, self._steps, self._state, self._outputs):
            yield from histogram.collect()
