"""Spans by OpenTelemetry's SDK, sent by OTLP; imported where TIFFIN_TRACES is set, and nowhere else.

Where they go, how many are kept and how they are sent is set by OpenTelemetry's own variables:
OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, OTEL_BSP_SCHEDULE_DELAY, OTEL_RESOURCE_ATTRIBUTES.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from agents.service import Service
from models import tracing
from models.tracing import TRACEPARENT, Attributes, SpanKind
from models.transition import Decision, Input, ReadRow

S = TypeVar("S")
REMEMBERED: Final = frozenset({"notifications"})
"""Services whose work outside is begun by rows that hold no traceparent."""
MAX_REMEMBERED: Final = 10_000
"""Of their decisions, the latest: what follows from one begins within seconds, or when a try has failed."""
SAMPLED: Final = 1


class _Span:
    """`models.tracing.Span` over one of OpenTelemetry's."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, name: str, value: str | int) -> None:
        """Add an attribute."""
        self._span.set_attribute(name, value)

    def fail(self, error: str) -> None:
        """It failed, by this class or code."""
        self._span.set_attribute("error.type", error)
        self._span.set_status(trace.StatusCode.ERROR, error)


class _Ids(RandomIdGenerator):
    """Random ids, but for a span whose id is given: an input that is decided again has the same outputs."""

    next_span_id: int = 0

    def generate_span_id(self) -> int:
        """The given id, once, or a random one."""
        given, self.next_span_id = self.next_span_id, 0
        return given or super().generate_span_id()


class WorkerTracer:
    """`models.tracing.Tracer`. The traceparent alone carries the context: through tasks, HTTP, Kafka, rows."""

    def __init__(self, instance: str, exporter: SpanExporter | None = None) -> None:
        """instance: of this worker, its address. exporter: by default OTLP over HTTP."""
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over what is given here.
        own = Resource({SERVICE_NAME: "tiffin", SERVICE_INSTANCE_ID: instance})
        set_outside = Resource.create()
        if str(set_outside.attributes[SERVICE_NAME]).startswith("unknown_service"):
            own, set_outside = set_outside, own
        self._ids = _Ids()
        self._provider = TracerProvider(resource=own.merge(set_outside), id_generator=self._ids)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("tiffin")
        self._decisions: OrderedDict[tuple[str, str], str] = OrderedDict()

    def close(self) -> None:
        """Send what has gathered; takes as long as the exporter's time-out at most."""
        self._provider.shutdown()

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind,
        parent: str | None,
        attributes: Attributes,
        span_id: int = 0,
    ) -> Iterator[_Span]:
        """See `models.tracing.span`. span_id: the span's own, if it must not be a random one."""
        self._ids.next_span_id = span_id
        made = self._tracer.start_span(
            name, _context(parent), trace.SpanKind[kind], attributes=dict(attributes)
        )
        span = _Span(made)
        with structlog.contextvars.bound_contextvars(traceparent=_traceparent(made)):
            try:
                yield span
            except BaseException as error:
                span.fail(type(error).__name__)
                raise
            finally:
                made.end()

    def decision(self, service: str, input_id: str) -> str | None:
        """See `models.tracing.decision`."""
        return self._decisions.get((service, input_id))

    def traced(self, service: Service[S]) -> Service[S]:
        """The service with a span around each decision whose input belongs to a trace; outputs follow it."""

        def decide(state: S, record: Input, read: ReadRow) -> Decision:
            headers = dict(record.headers)
            header = headers.get(TRACEPARENT)
            parent = header.decode(errors="replace") if header else None
            if tracing.parsed(parent) is None:
                return service.decide(state, record, read)
            attributes: dict[str, str | int] = {
                "messaging.system": "kafka", "messaging.destination.name": record.topic,
                "messaging.kafka.offset": record.offset, "tiffin.order_id": record.key,
            }  # fmt: skip
            named = f"{service.name} {_type_of(record.message)}"
            own_id = _span_id(service.name, record)
            with self.span(named, SpanKind.CONSUMER, parent, attributes, own_id):
                within = tracing.current() or ""
                headers[TRACEPARENT] = within.encode()
                if service.name in REMEMBERED:
                    self._remember(service.name, record.identity.id, within)
                return service.decide(state, record._replace(headers=tuple(headers.items())), read)

        return replace(service, decide=decide)

    def _remember(self, service: str, input_id: str, traceparent: str) -> None:
        self._decisions[service, input_id] = traceparent
        self._decisions.move_to_end((service, input_id))
        if len(self._decisions) > MAX_REMEMBERED:
            self._decisions.popitem(last=False)


def _context(parent: str | None) -> Any:
    """OpenTelemetry's context of a traceparent."""
    ids = tracing.parsed(parent)
    # An empty context, not the process's own: a span with no parent begins a trace.
    empty = trace.set_span_in_context(trace.INVALID_SPAN)
    if ids is None:
        return empty
    trace_id, span_id, flags = ids
    remote = trace.SpanContext(
        trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote))


def _traceparent(span: trace.Span) -> str:
    context = span.get_span_context()
    flags = context.trace_flags & SAMPLED
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"


def _span_id(service: str, record: Input) -> int:
    """Of a decision: the same each time that the input is decided."""
    name = f"{service}/{record.topic}/{record.identity.id}/{record.offset}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) or 1


def _type_of(message: Any) -> str:
    """What a message is: of events and commands their type."""
    kind = getattr(message, "event_type", None) or getattr(message, "command_type", None)
    return str(kind or getattr(message, "stripe_event_type", None) or type(message).__name__)
