"""What operators did and what was refused, from the audit's topic, for operators."""

import base64
from collections.abc import Mapping
from typing import Any, Final

import orjson

from models.events import EventType
from models.operations import AuditFilter
from web.http.api_model import ApiModel
from web.http.decoding import DecodingError, base64_json, whole_number
from web.http.params import Params, choice_param, limit_param, order_param, param, up_to
from web.http.problems import ProblemError
from web.http.route import Call

MAX_AUDIT_ENTRIES: Final = 500
MAX_ACTOR_CHARS: Final = 300
AUDIT_EVENT_TYPES: Final = (
    EventType.COMMAND_REFUSED, EventType.ORDER_CANCELLED, EventType.EFFECT_REQUESTED,
    EventType.NOTIFICATION_RETRIED, EventType.DEAD_LETTER_REDRIVEN, EventType.DEAD_LETTER_DISCARDED,
    EventType.WEBHOOK_RECEIVED,
)  # fmt: skip
"""What the audit mostly holds."""


class AuditView(ApiModel):
    """Events of the audit, the latest first. scanned: records looked at for this page. next: older ones."""

    entries: tuple[dict[str, Any], ...]
    scanned: int
    next: str | None = None


class AuditParams(Params):
    """before: in no form that clients should rely on; "" for the latest."""

    by: str = param(
        up_to(MAX_ACTOR_CHARS),
        "only acts of those in whose name this is, such as operator:alice", default="",
    )  # fmt: skip
    kind: str | None = choice_param(EventType, "only events of this type, such as COMMAND_REFUSED")
    order: str | None = order_param("only of this order", "the id of an order")
    limit: int = limit_param(100, MAX_AUDIT_ENTRIES)
    before: str = param(str, "`next` of the page before", default="")


async def list_audit(call: Call[AuditParams, None]) -> AuditView:
    """What operators did and what was refused, the latest first."""
    params = call.params
    asked = AuditFilter(by=params.by, kind=params.kind, order=params.order)
    before = read_audit_cursor(params.before)
    page = await call.context.operations.audit(params.limit, before, asked)
    older = audit_cursor(page.before) if page.before else None
    return AuditView(entries=tuple(map(dict, page.events)), scanned=page.scanned, next=older)


def audit_cursor(ends: Mapping[str, int]) -> str:
    """Where a page ended, as its readers send it back for the next one."""
    return base64.urlsafe_b64encode(orjson.dumps(ends)).decode()


def read_audit_cursor(before: str) -> dict[str, int]:
    """Where each partition's page ends. Raises ProblemError (400)."""
    if not before:
        return {}
    try:
        ends = base64_json(before)
        return {str(place): whole_number(str(end), 0, 2**63 - 1) for place, end in ends.items()}
    except (DecodingError, AttributeError):
        errors = [("before", "accepted: `before` of the page before")]
        raise ProblemError("VALIDATION_FAILED", errors=errors) from None
