"""Spans: around decisions whose inputs belong to a trace, the same each time, and none by default."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agents.service import Service
from app.traces import WorkerTracer
from models import tracing
from models.tracing import SpanKind
from models.transition import Decision, Input, InputIdentity, Output

ROOT = Path(__file__).parents[3]
CLICK = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class World:
    """A tracer and a service that sends its input's trace on."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer = WorkerTracer("http://worker-1", self.exporter)
        self.service = self.tracer.traced(
            Service(
                name="notifications", about="", inputs={}, state=None, initial=None,
                decide=lambda state, record, _: Decision(
                    state, (Output("out", record.key, b"x", record.headers),)
                ),
            )
        )  # fmt: skip

    def decided(self, traceparent: bytes | None, offset: int = 3) -> dict[str, bytes]:
        """Headers of what follows from an input with this header."""
        headers = (("ce_id", b"1"),) if traceparent is None else (("traceparent", traceparent),)
        record = Input("in", "order_1", InputIdentity("id-1"), None, 0, headers, offset)
        (output,) = self.service.decide(None, record, lambda _: None).outputs
        return dict(output.headers)

    def ended(self) -> list[Any]:
        """Spans that were exported."""
        self.tracer.close()
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    tracing.switch_on(world.tracer)
    yield world
    tracing.switch_off()
    world.tracer.close()


def test_what_follows_from_a_decision_follows_its_span(world: World) -> None:
    header = world.decided(CLICK.encode())["traceparent"].decode()
    (span,) = world.ended()
    trace_id, parent, _ = tracing.parsed(CLICK) or (0, 0, 0)
    assert (span.context.trace_id, span.parent.span_id) == (trace_id, parent)
    assert tracing.parsed(header) == (trace_id, span.context.span_id, 1)
    assert tracing.decision("notifications", "id-1") == header
    assert span.attributes["tiffin.order_id"] == "order_1"


def test_an_input_that_is_decided_again_has_the_same_outputs(world: World) -> None:
    """Else a crash could send two events of one id and different bytes."""
    first = world.decided(CLICK.encode())
    assert world.decided(CLICK.encode()) == first
    assert world.decided(CLICK.encode(), offset=4) != first


@pytest.mark.parametrize("header", [None, b"nonsense", b"\xff", b"00-" + b"0" * 32 + b"-1-01"])
def test_what_belongs_to_no_trace_is_left_as_it_is(world: World, header: bytes | None) -> None:
    assert world.decided(header).get("traceparent") == header
    assert world.ended() == []


def test_a_failure_is_told_by_its_class_alone(world: World) -> None:
    with pytest.raises(ValueError, match="4242"), tracing.span("work", SpanKind.INTERNAL):
        raise ValueError("card 4242")
    (span,) = world.ended()
    assert span.attributes["error.type"] == "ValueError"
    assert (span.events, span.status.description) == ((), "ValueError")
    assert "4242" not in span.to_json()


def test_a_span_is_bound_while_it_lasts(world: World) -> None:
    with tracing.span("outer", SpanKind.SERVER, parent=CLICK):
        outer = tracing.current()
        with tracing.span("inner", SpanKind.CLIENT):
            assert tracing.current() not in {outer, CLICK}
        assert tracing.current() == outer
    assert tracing.current() is None
    inner, outer_span = world.ended()
    assert inner.parent.span_id == outer_span.context.span_id


def test_by_default_a_span_is_nothing() -> None:
    assert not tracing.is_on()
    with tracing.span("work", SpanKind.INTERNAL, parent=CLICK) as span:
        span.set("a", 1)
        span.fail("x")
        assert tracing.current() is None
    assert tracing.span("more", SpanKind.INTERNAL) is tracing.NO_SPAN
    assert tracing.decision("notifications", "id-1") is None


def test_a_worker_without_traces_imports_nothing_of_opentelemetry() -> None:
    code = (
        "import sys, app.factory; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
