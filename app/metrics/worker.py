"""The worker's collector: read from the parts' own counters when somebody asks, so counting costs nothing."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from app.metrics.families import single, values
from tables import ServiceRuntime

NAMES_OF_COUNTERS: Final = {
    "groups": "commit_batches", "holes": "delivery_gaps", "gaps": "empty_offsets",
}  # fmt: skip
"""Fields of `tables.Counters` whose metric has another name: the engine's own term by now."""


def name_of_counter(field: str) -> str:
    """The metric of a field of `tables.Counters`."""
    return f"tiffin_engine_{NAMES_OF_COUNTERS.get(field, field)}_total"


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

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics and their content type: OpenMetrics, with exemplars, or Prometheus' text format.

        accept: the request's header.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Read every counter now."""
        yield single("tiffin_ready", int(self._is_ready()))
        yield single("tiffin_recovery_rows_left", self._runtime.recovery().rows_left)
        yield from self._engine()
        yield values(
            "tiffin_stopped_partitions",
            {(stop.topic, stop.partition, stop.service): 1 for stop in self._runtime.stops.all()},
        )
        yield values(
            "tiffin_broken_records",
            {name: len(table.unreadable_keys) for name, table in self._runtime.tables.items()},
        )

    def _engine(self) -> Iterator[Metric]:
        positions, known_end = self._runtime.positions(), self._runtime.known_end
        by_service = {name: asdict(counts) for name, counts in self._runtime.counters.items()}
        for field in next(iter(by_service.values()), {}):
            yield values(
                name_of_counter(field),
                {service: counts[field] for service, counts in by_service.items()},
            )
        yield values(
            "tiffin_input_done_offset",
            {(at.service, at.topic, at.partition): at.durable_offset for at in positions},
        )
        yield values(
            "tiffin_consumer_lag",
            {
                (at.service, at.topic, at.partition): max(0, end - at.durable_offset - 1)
                for at in positions
                if (end := known_end(at.topic, at.partition)) is not None
            },
        )
        yield values(
            "tiffin_inputs_waiting",
            {(at.service, at.partition): at.waiting + at.in_flight for at in positions},
        )
