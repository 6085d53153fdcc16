"""W3C trace context: one trace a request, which logs and Kafka's headers carry on; spans, where they are on."""

import re
import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Final, Protocol

TRACEPARENT: Final = "traceparent"
"""Of HTTP, of Kafka's records, and in structlog's context variables, where senders find it."""
_FORM: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


def continued(incoming: str | None) -> str:
    """A new span of the incoming trace, or of a new trace when there is none that can be read."""
    if match := _matched(incoming):
        return f"00-{match[1]}-{secrets.token_hex(8)}-{match[3]}"
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def parsed(traceparent: str | None) -> tuple[int, int, int] | None:
    """Ids of trace and span, and the flags, as numbers; None where it is none that can be read."""
    match = _matched(traceparent)
    return (int(match[1], 16), int(match[2], 16), int(match[3], 16)) if match else None


def current() -> str | None:
    """The traceparent of what is being done."""
    import structlog  # noqa: PLC0415 -- with rich and pygments: much for a command that never asks for it

    bound: str | None = structlog.contextvars.get_contextvars().get(TRACEPARENT)
    return bound


def trace_id(traceparent: str | None) -> str:
    """The id of its trace; "" where it is none."""
    match = _FORM.fullmatch(traceparent or "")
    return match[1] if match else ""


def reference() -> str:
    """The first 12 digits of the current trace's id, which all its log lines hold. "": no trace."""
    return trace_id(current())[:12]


def _matched(traceparent: str | None) -> re.Match[str] | None:
    match = _FORM.fullmatch(traceparent or "")
    return match if match and match[1] != _NO_TRACE and match[2] != _NO_SPAN else None


class SpanKind(StrEnum):
    """OpenTelemetry's."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"
    INTERNAL = "INTERNAL"


Attributes = Mapping[str, str | int]


class Span(Protocol):
    """Something that is being done, and is told when it has ended."""

    def set(self, name: str, value: str | int) -> None:
        """Add an attribute; never one that tells of a person."""

    def fail(self, error: str) -> None:
        """It failed. error: a class or a code, not a message: that may hold what a customer sent."""


class Tracer(Protocol):
    """What makes spans (app/traces.py)."""

    def span(
        self, name: str, kind: SpanKind, parent: str | None, attributes: Attributes
    ) -> AbstractContextManager[Span]:
        """As `span` below."""

    def decision(self, service: str, input_id: str) -> str | None:
        """As `decision` below."""


class _NoSpan:
    """Where traces are off."""

    def set(self, name: str, value: str | int) -> None:
        """Nobody is told."""

    def fail(self, error: str) -> None:
        """Nobody is told."""


NO_SPAN: Final[AbstractContextManager[Span]] = nullcontext(_NoSpan())
"""A span that nobody is told of."""
_tracers: Final[list[Tracer]] = []
"""None where traces are off, as they are by default; else the worker's one."""


def switch_on(tracer: Tracer) -> None:
    """Have this process make spans from now on."""
    _tracers[:] = [tracer]


def switch_off() -> None:
    """Make no spans any more."""
    _tracers.clear()


def is_on() -> bool:
    """Whether spans are made."""
    return bool(_tracers)


def span(
    name: str, kind: SpanKind, *, parent: str | None = None, attributes: Attributes | None = None
) -> AbstractContextManager[Span]:
    """A span around what follows, whose traceparent is bound meanwhile; nothing where traces are off.

    name: with few values. parent: its traceparent, by default the one that is bound. What is raised fails
    the span by its class.
    """
    return (
        _tracers[0].span(name, kind, parent or current(), attributes or {}) if _tracers else NO_SPAN
    )


def decision(service: str, input_id: str) -> str | None:
    """Traceparent of a service's decision about an event or a command; None where traces are off.

    Known for a while, at the worker that decided it, of the services that app/traces.py names.
    """
    return _tracers[0].decision(service, input_id) if _tracers else None
