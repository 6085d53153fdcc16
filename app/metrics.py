"""Prometheus metrics: read from the parts' own counters when somebody asks, so counting costs nothing."""

from collections.abc import Iterator
from dataclasses import asdict

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from app.clock import BrokerClock
from app.notifications.notifier import Notifier
from app.stripe.effects import EffectsService
from app.stripe.reconciler import Reconciler
from tables import ServiceRuntime


class Metrics(Collector):
    """A collector over runtime, effects and reconciler; sizes in records, positions in offsets."""

    def __init__(
        self,
        runtime: ServiceRuntime,
        effects: EffectsService,
        reconciler: Reconciler,
        notifier: Notifier,
        clock: BrokerClock,
        *more: Collector,
    ) -> None:
        """more: parts that collect for themselves."""
        self._runtime, self._effects, self._reconciler = runtime, effects, reconciler
        self._notifier, self._clock = notifier, clock
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        for collector in (self, clock, *more):
            self._registry.register(collector)

    def render(self) -> bytes:
        """Give Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Read every counter now."""
        yield from self._of_services()
        yield from self._of_effects()
        yield from self._of_notifications()

    def _of_services(self) -> Iterator[Metric]:
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
        ready = GaugeMetricFamily(
            "tiffin_ready", "1 when this worker serves its partitions and its clock is right"
        )
        ready.add_metric([], int(self._runtime.ready() and not self._clock.reasons()))
        yield ready

    def _of_effects(self) -> Iterator[Metric]:
        pending = GaugeMetricFamily("tiffin_effects_pending", "Stripe writes that have not ended")
        pending.add_metric([], self._effects.pending)
        yield pending
        results = CounterMetricFamily(
            "tiffin_effect_results", "How Stripe writes ended", labels=["kind", "result"]
        )
        for (kind, result), count in self._effects.counters.results.items():
            results.add_metric([kind, result], count)
        yield results
        errors = CounterMetricFamily(
            "tiffin_effect_errors", "Calls of Stripe that had to be tried again", labels=["error"]
        )
        for name, count in self._effects.counters.errors.items():
            errors.add_metric([name], count)
        yield errors
        watched = GaugeMetricFamily(
            "tiffin_payments_watched", "Payments that are being looked after"
        )
        watched.add_metric([], self._reconciler.watched)
        yield watched

    def _of_notifications(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "tiffin_notifications",
            "Messages to customers that have not ended: to be sent, held back, or for an operator",
            labels=["state"],
        )
        states.add_metric(["pending"], self._notifier.pending)
        states.add_metric(["held"], self._notifier.held)
        states.add_metric(["waiting_for_operator"], self._notifier.waiting)
        yield states
        tries = CounterMetricFamily(
            "tiffin_notification_tries", "How tries to send ended", labels=["channel", "result"]
        )
        for (channel, result), count in self._notifier.counters.results.items():
            tries.add_metric([channel, result], count)
        yield tries
