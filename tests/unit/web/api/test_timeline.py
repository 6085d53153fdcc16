"""Within one millisecond a timeline shows causes before effects and the audit last."""

from __future__ import annotations

import itertools

import orjson
import pytest

from web.api.timeline import timeline_view
from web.http.tokens import Role

AT = "2026-01-01T00:00:00.000Z"


def row(event_id: str, cause: str, service: str, sequence: int, topic: str) -> dict[str, object]:
    return {
        "occurredAt": AT, "service": service, "eventType": event_id, "eventId": event_id,
        "causationId": cause, "sequence": sequence, "topic": topic, "detail": {},
    }  # fmt: skip


ROWS = [
    row("COMPLETED", "webhook", "payments", 3, "payment-events"),
    row("CREATED", "COMPLETED", "orders", 2, "order-events"),
    row("CANCELLED", "COMPLETED", "orders", 3, "order-events"),
    row("REFUND", "COMPLETED", "orders", 4, "payment-events"),
    row("WEBHOOK", "webhook", "payments", 7, "order-audit"),
]


@pytest.mark.parametrize("rows", list(itertools.permutations(ROWS)))
def test_ties_are_ordered_by_cause(rows: tuple[dict[str, object], ...]) -> None:
    stored = [(f"order/{n:06d}", orjson.dumps(value)) for n, value in enumerate(rows)]
    view = timeline_view("order", stored, role=Role.OPERATOR)
    shown = [entry.event_type for entry in view.entries]
    assert shown == ["COMPLETED", "CREATED", "CANCELLED", "REFUND", "WEBHOOK"]
