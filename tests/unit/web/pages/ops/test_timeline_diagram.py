"""The drawing of an order's timeline."""

from __future__ import annotations

from web.api.timeline import TimelineEntry
from web.pages.ops.timeline_diagram import MAX_DRAWN, draw_timeline


def entry(number: int, service: str, t_ms: int, cause: int | None) -> TimelineEntry:
    return TimelineEntry(
        t_ms=t_ms,
        occurred_at="2026-11-23T07:00:00.000Z",
        service=service,
        event_type="PAYMENT_COMPLETED",
        event_id=f"e{number}",
        causation_id=None if cause is None else f"e{cause}",
        detail={},
    )


def test_a_timeline_is_drawn_with_a_lane_a_service_and_lines_from_causes() -> None:
    rows = [
        entry(0, "payments", 0, None),
        entry(1, "orders", 40, 0),
        entry(2, "orders", 40, 1),
        entry(3, "kitchens of tomorrow", 65_000, 2),
    ]
    drawn = draw_timeline(rows)
    assert [name for name, _ in drawn.lanes] == ["orders", "payments", "kitchens of tomorrow"]
    assert len(drawn.links) == 3
    assert [words for _, words in drawn.pauses] == ["1 min"]
    assert [dot.x for dot in drawn.dots] == sorted(dot.x for dot in drawn.dots)
    many = draw_timeline([entry(n, "orders", n, None) for n in range(MAX_DRAWN + 5)])
    assert (len(many.dots), many.left_out) == (MAX_DRAWN, 5)
    assert draw_timeline([]).dots == ()
