"""W3C trace context: one trace a request, which logs and Kafka's headers carry on."""

import re
import secrets
from typing import Final

TRACEPARENT: Final = "traceparent"
"""Of HTTP, of Kafka's records, and in structlog's context variables, where senders find it."""
_FORM: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


def continued(incoming: str | None) -> str:
    """A new span of the incoming trace, or of a new trace when there is none that can be read."""
    match = _FORM.fullmatch(incoming or "")
    if match and match[1] != _NO_TRACE and match[2] != _NO_SPAN:
        return f"00-{match[1]}-{secrets.token_hex(8)}-{match[3]}"
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def reference() -> str:
    """The first 12 digits of the current trace's id, which all its log lines hold. "": no trace."""
    import structlog  # noqa: PLC0415 -- with rich and pygments, of which `topics` and `agents` need nothing

    match = _FORM.fullmatch(structlog.contextvars.get_contextvars().get(TRACEPARENT, ""))
    return match[1][:12] if match else ""
