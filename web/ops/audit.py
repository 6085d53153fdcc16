"""What operators did and what was refused, from the audit's topic, for operators."""

from dataclasses import dataclass
from typing import Any, Final

from models.events import EventType
from models.messages import Message
from models.operations import AuditFilter
from web.http.params import (
    Params,
    any_text,
    choice_param,
    limit_param,
    order_param,
    param,
    text_that,
)
from web.http.route import Call

MAX_AUDIT_ENTRIES: Final = 500
MAX_ACTOR_CHARS: Final = 300
AUDIT_EVENT_TYPES: Final = (
    EventType.COMMAND_REFUSED, EventType.ORDER_CANCELLED, EventType.EFFECT_REQUESTED,
    EventType.NOTIFICATION_RETRIED, EventType.DEAD_LETTER_REDRIVEN, EventType.DEAD_LETTER_DISCARDED,
)  # fmt: skip
"""What the audit mostly holds."""


class AuditView(Message):
    """Events of the audit, the latest first. scanned: records looked at for this page. next: older ones."""

    entries: tuple[dict[str, Any], ...]
    scanned: int
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class AuditParams(Params):
    """before: in no form that clients should rely on; "" for the latest."""

    by: str = param(
        text_that(
            lambda text: len(text) <= MAX_ACTOR_CHARS, f"at most {MAX_ACTOR_CHARS} characters"
        ),
        "only acts of those in whose name this is, such as operator:alice", default="",
    )  # fmt: skip
    kind: str | None = choice_param(EventType, "only events of this type, such as COMMAND_REFUSED")
    order: str | None = order_param("only of this order", "the id of an order")
    limit: int = limit_param(100, MAX_AUDIT_ENTRIES)
    before: str = param(any_text, "`next` of the page before", default="")


async def list_audit(call: Call[AuditParams, None]) -> AuditView:
    """What operators did and what was refused, the latest first."""
    params = call.params
    page = await call.context.operations.audit(
        params.limit,
        params.before,
        AuditFilter(by=params.by, kind=params.kind, order=params.order),
    )
    return AuditView(
        entries=tuple(dict(event) for event in page.events),
        scanned=page.scanned,
        next=page.before or None,
    )
