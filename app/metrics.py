"""Prometheus metrics: read from the parts' own counters when somebody asks, so counting costs nothing."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from tables import ServiceRuntime


def _metric(
    family: type[GaugeMetricFamily | CounterMetricFamily],
    name: str,
    about: str,
    labels: str,
    values: Mapping[Any, float],
) -> Metric:
    """labels: their names, with spaces between. values: by the label's value, or a tuple of several."""
    metric = family(name, about, labels=labels.split())
    for key, value in values.items():
        metric.add_metric([str(each) for each in (key if type(key) is tuple else (key,))], value)
    return metric


gauges: Final = functools.partial(_metric, GaugeMetricFamily)
counters: Final = functools.partial(_metric, CounterMetricFamily)


class Metrics(Collector):
    """The collector of the services' runtime; sizes in records, positions in offsets."""

    def __init__(
        self, runtime: ServiceRuntime, is_ready: Callable[[], bool], *parts: Collector
    ) -> None:
        """parts: other parts of the worker, each a collector of its own metrics."""
        self._runtime, self._is_ready = runtime, is_ready
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        for collector in (self, *parts):
            self._registry.register(collector)

    def render(self) -> bytes:
        """Give Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Read every counter now."""
        positions, known_end = self._runtime.positions(), self._runtime.known_end
        yield counters(
            "tiffin_engine", "What the transition engines have done", "service what",
            {
                (service, name): value
                for service, counts in self._runtime.counters.items()
                for name, value in asdict(counts).items()
            },
        )  # fmt: skip
        yield gauges(
            "tiffin_input_done_offset", "Last offset whose state and outputs are durable",
            "service topic partition",
            {(at.service, at.topic, at.partition): at.durable_offset for at in positions},
        )  # fmt: skip
        yield gauges(
            "tiffin_consumer_lag",
            "Inputs that Kafka has and whose state and outputs are not durable yet",
            "service topic partition",
            {
                (at.service, at.topic, at.partition): max(0, end - at.durable_offset - 1)
                for at in positions
                if (end := known_end(at.topic, at.partition)) is not None
            },
        )
        yield gauges(
            "tiffin_lane_backlog", "Inputs fetched and not yet durable", "service partition",
            {(at.service, at.partition): at.waiting + at.in_flight for at in positions},
        )  # fmt: skip
        yield GaugeMetricFamily(
            "tiffin_ready",
            "1 when this worker serves its partitions and its clock is right",
            value=int(self._is_ready()),
        )
        yield gauges(
            "tiffin_stopped_partitions",
            "Partitions that are read no further until an operator skips a record",
            "topic partition service",
            {(stop.topic, stop.partition, stop.service): 1 for stop in self._runtime.stops.all()},
        )
        yield gauges(
            "tiffin_broken_records", "Stored records that were met and can't be read", "service",
            {name: len(table.unreadable_keys) for name, table in self._runtime.tables.items()},
        )  # fmt: skip
