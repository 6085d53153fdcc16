"""Headers of the records that this application puts into Kafka and reads there."""

from collections.abc import Iterable, Mapping

import structlog

from models import tracing
from models.cloudevents import cloudevent_headers
from models.sender import Headers


def record_headers(id: str, type: str, source: str, time: str) -> Headers:
    """The trace of what is being done, or a new one, and CloudEvents' headers. time: RFC 3339."""
    bound = structlog.contextvars.get_contextvars().get(tracing.TRACEPARENT)
    traceparent = bound or tracing.continued(None)
    return [
        (tracing.TRACEPARENT, traceparent.encode()),
        *cloudevent_headers(id, type, source, time),
    ]


def decoded_headers(headers: Iterable[tuple[str, bytes | None]]) -> Mapping[str, str]:
    """Headers as text, missing values as empty ones; of a repeated header the last."""
    return {name: (value or b"").decode(errors="replace") for name, value in headers}
