"""What the API shows of a timeline: all that happened to an order, causes before effects."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from models.history import BrokenRowError, read_row
from models.messages import Message, from_rfc3339
from models.topics import ORDER_AUDIT
from web.payment_views import role_of

LONGEST_CHAIN: Final = 100
"""Of causes within one millisecond; forged rows may name each other in a circle."""


class TimelineEntry(Message):
    """One thing that happened; tMs: since the order's first."""

    t_ms: int
    occurred_at: str
    service: str
    event_type: str
    event_id: str
    causation_id: str | None = None
    sequence: int | None = None
    detail: dict[str, Any]


class TimelineView(Message):
    """All that happened to an order, in the order of time.

    broken: stored rows that can't be shown, with why: "order_x/000007: occurredAt can't be read".
    """

    order_id: str
    started_at: str | None
    entries: tuple[TimelineEntry, ...]
    broken: tuple[str, ...] = ()


def timeline_view(
    order_id: str, rows: Iterable[tuple[str, bytes]], *, names_people: bool
) -> TimelineView:
    """Show a timeline: by time; within a millisecond causes stand before effects, the audit last.

    names_people: show who acted ("operator:alice"), not only the role.
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
                detail=_detail(entry["detail"], names_people=names_people),
            )
            for entry in entries
        ),
        broken=tuple(broken),
    )


def _depth(causes: Mapping[str, str | None], event_id: str) -> int:
    """How many events of this order led to an event, one after the other."""
    depth, cause = 0, causes.get(event_id)
    while cause is not None and cause in causes and depth < LONGEST_CHAIN:
        depth, cause = depth + 1, causes[cause]
    return depth


def _detail(detail: dict[str, Any], *, names_people: bool) -> dict[str, Any]:
    if names_people or not isinstance(detail.get("by"), str):
        return detail
    return {**detail, "by": role_of(detail["by"])}
