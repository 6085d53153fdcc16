"""Prometheus metrics: read from the parts' own counters when somebody asks, so counting costs nothing."""

from collections.abc import Iterator
from dataclasses import asdict

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from app.clock import BrokerClock
from tables import ServiceRuntime


class Metrics(Collector):
    """The collector of the services' runtime; sizes in records, positions in offsets."""

    def __init__(self, runtime: ServiceRuntime, clock: BrokerClock, *parts: Collector) -> None:
        """parts: other parts of the worker, each a collector of its own metrics."""
        self._runtime, self._clock = runtime, clock
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        for collector in (self, clock, *parts):
            self._registry.register(collector)

    def render(self) -> bytes:
        """Give Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Read every counter now."""
        inputs = CounterMetricFamily(
            "tiffin_engine", "What the transition engines have done", labels=["service", "what"]
        )
        for service, counters in self._runtime.counters.items():
            for name, value in asdict(counters).items():
                inputs.add_metric([service, name], value)
        yield inputs
        done = GaugeMetricFamily(
            "tiffin_input_done_offset",
            "Last offset whose state and outputs are durable",
            labels=["service", "topic", "partition"],
        )
        backlog = GaugeMetricFamily(
            "tiffin_lane_backlog",
            "Inputs fetched and not yet durable",
            labels=["service", "partition"],
        )
        lag = GaugeMetricFamily(
            "tiffin_consumer_lag",
            "Inputs that Kafka has and whose state and outputs are not durable yet",
            labels=["service", "topic", "partition"],
        )
        for at in self._runtime.positions():
            done.add_metric([at.service, at.topic, str(at.partition)], at.durable_offset)
            end = self._runtime.known_end(at.topic, at.partition)
            if end is not None:
                due = at.durable_offset + 1
                lag.add_metric([at.service, at.topic, str(at.partition)], max(0, end - due))
            backlog.add_metric([at.service, str(at.partition)], at.waiting + at.in_flight)
        yield done
        yield lag
        yield backlog
        yield GaugeMetricFamily(
            "tiffin_ready",
            "1 when this worker serves its partitions and its clock is right",
            value=int(self._runtime.ready() and not self._clock.reasons()),
        )
        stopped = GaugeMetricFamily(
            "tiffin_stopped_partitions",
            "Partitions that are read no further until an operator skips a record",
            labels=["topic", "partition", "service"],
        )
        for stop in self._runtime.stops.all():
            stopped.add_metric([stop.topic, str(stop.partition), stop.service], 1)
        yield stopped
        broken = GaugeMetricFamily(
            "tiffin_broken_records",
            "Stored records that were met and can't be read",
            labels=["service"],
        )
        for name, table in self._runtime.tables.items():
            broken.add_metric([name], len(table.unreadable_keys))
        yield broken
