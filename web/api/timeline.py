"""What the API shows of a timeline: what happened to an order, to each reader what concerns them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from models.declines import customer_decline_code
from models.events import EventType
from models.history import BrokenRowError, read_row
from models.timeline import stored_events
from models.times import from_rfc3339
from models.topics import ORDER_AUDIT
from models.wording import customer_reason, role_of
from web.http.api_model import ApiModel
from web.http.context import TIMELINE, Context
from web.http.tokens import Role

E = EventType

ABOUT_FRAUD: Final = frozenset(
    {E.PAYMENT_FRAUD_WARNING, E.PAYMENT_REVIEW_OPENED, E.PAYMENT_REVIEW_CLOSED}
)
CUSTOMERS: Final = frozenset(
    kind for kind in EventType if kind.startswith(("PAYMENT_", "ORDER_", "DELIVERY_"))
) - ABOUT_FRAUD | {E.COMMAND_REFUSED, E.NOTIFICATION_SENT}
"""What the order's customer sees; of refusals, those of what a customer asked for. That somebody suspects a
fraud, nobody but operators reads."""
STAFF_ONLY_FIELDS: Final = frozenset({"courierId", "providerId", "failureReason", "commandId"})
"""Fields that customers do not see: who of the staff, and Stripe's reasons of a decline, some of which must
not be disclosed."""

MAX_CAUSE_DEPTH: Final = 100
"""Of causes within one millisecond; forged rows may name each other in a circle."""


class TimelineEntry(ApiModel):
    """One thing that happened; tMs: since the first one shown."""

    t_ms: int
    occurred_at: str
    service: str
    event_type: str
    event_id: str
    causation_id: str | None = None
    sequence: int | None = None
    detail: dict[str, Any]


class TimelineView(ApiModel):
    """What happened to an order, in the order of time; all of it for operators.

    broken: stored rows that can't be shown, with why: "order_x/000007: occurredAt can't be read".
    """

    order_id: str
    started_at: str | None
    entries: tuple[TimelineEntry, ...]
    broken: tuple[str, ...] = ()


def stored_timeline(context: Context, order_id: str) -> list[tuple[str, bytes]]:
    """An order's events as they came: where each is stored, and what. Raises NotOwnerError, NotReadyError."""
    record = context.record(TIMELINE, order_id)
    rows = context.tables[TIMELINE].rows(f"{order_id}/")
    return list(stored_events(order_id, record.state if record else 0, rows))


def timeline_view(order_id: str, rows: Iterable[tuple[str, bytes]], *, role: Role) -> TimelineView:
    """Show a timeline: by time; within a millisecond causes stand before effects, the audit last.

    role: of the one who looks. An operator sees everything, others what concerns the order's customer, and
    of who acted ("operator:alice") only the role.
    """
    entries, broken = [], []
    for key, value in rows:
        try:
            entries.append(read_row(value))
        except BrokenRowError as error:
            broken.append(f"{key}: {error}")
    causes = {entry["eventId"]: entry.get("causationId") for entry in entries}
    entries.sort(
        key=lambda entry: (
            from_rfc3339(entry["occurredAt"]),
            entry.get("topic") == ORDER_AUDIT,
            _depth(causes, entry["eventId"]),
            entry.get("sequence") or 0,
        )
    )
    if role is not Role.OPERATOR:
        entries = [entry for entry in entries if _concerns_customer(entry)]
    start_ms = from_rfc3339(entries[0]["occurredAt"]) if entries else 0
    return TimelineView(
        order_id=order_id,
        started_at=entries[0]["occurredAt"] if entries else None,
        entries=tuple(
            TimelineEntry(
                t_ms=from_rfc3339(entry["occurredAt"]) - start_ms,
                occurred_at=entry["occurredAt"],
                service=entry["service"],
                event_type=entry["eventType"],
                event_id=entry["eventId"],
                causation_id=entry.get("causationId"),
                sequence=entry.get("sequence"),
                detail=_detail(entry, role),
            )
            for entry in entries
        ),
        broken=tuple(broken),
    )


def _depth(causes: Mapping[str, str | None], event_id: str) -> int:
    """How many events of this order led to an event, one after the other."""
    depth, cause = 0, causes.get(event_id)
    while cause is not None and cause in causes and depth < MAX_CAUSE_DEPTH:
        depth, cause = depth + 1, causes[cause]
    return depth


def _concerns_customer(entry: Mapping[str, Any]) -> bool:
    if entry["eventType"] == E.COMMAND_REFUSED:
        by = str((entry.get("detail") or {}).get("by", ""))
        return role_of(by) == Role.CUSTOMER
    return entry["eventType"] in CUSTOMERS


def _detail(entry: Mapping[str, Any], role: Role) -> dict[str, Any]:
    detail = dict(entry.get("detail") or {})
    if role is Role.OPERATOR:
        return detail
    told = {name: value for name, value in detail.items() if name not in STAFF_ONLY_FIELDS}
    if isinstance(told.get("by"), str):
        told["by"] = role_of(told["by"])
    if entry["eventType"] == E.PAYMENT_FAILED:
        told["failureReason"] = customer_decline_code(detail.get("failureReason"))
        told.pop("failureCode", None)
    if isinstance(told.get("reason"), str):
        told["reason"] = customer_reason(told["reason"])
    return told
