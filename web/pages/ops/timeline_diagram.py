"""An order's timeline as a picture: a lane a service, a place an event, lines from causes to effects.

Places are evenly spaced, for an order's life is milliseconds of work between minutes of waiting; the time
since the beginning stands above each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from web.api.timeline import TimelineEntry

STEP: Final = 58
LANE: Final = 54
LEFT: Final = 112
TOP: Final = 34
LONG_MS: Final = 1000
"""A pause that is marked."""
MAX_DRAWN: Final = 80
ORDER: Final = ("web", "orders", "payments", "stripe", "deliveries", "notifications", "analytics")


@dataclass(frozen=True, slots=True)
class EventMark:
    """An event in the picture."""

    x: int
    y: int
    tone: str
    entry: TimelineEntry
    at: str


@dataclass(frozen=True, slots=True)
class TimelineDiagram:
    """lanes: name and height. links: from cause to effect, as SVG paths. pauses: x and words."""

    width: int
    height: int
    lanes: tuple[tuple[str, int], ...]
    dots: tuple[EventMark, ...]
    links: tuple[str, ...]
    pauses: tuple[tuple[int, str], ...]
    left_out: int


def draw_timeline(entries: Sequence[TimelineEntry]) -> TimelineDiagram:
    """Draw the first events of a timeline; the text below it holds all."""
    drawn = entries[:MAX_DRAWN]
    names = sorted({entry.service for entry in drawn}, key=_rank)
    lanes = {name: TOP + LANE * number + LANE // 2 for number, name in enumerate(names)}
    dots = [
        EventMark(LEFT + STEP * number + STEP // 2, lanes[entry.service], tone_of(entry.event_type), entry,
            since_text(entry.t_ms))
        for number, entry in enumerate(drawn)
    ]  # fmt: skip
    by_id = {dot.entry.event_id: dot for dot in dots}
    causes = [(by_id.get(dot.entry.causation_id or "", dot), dot) for dot in dots]
    links = [_link(cause, dot) for cause, dot in causes if cause is not dot]
    pauses = [
        (dot.x - STEP // 2, since_text(dot.entry.t_ms - before.entry.t_ms))
        for before, dot in pairwise(dots)
        if dot.entry.t_ms - before.entry.t_ms >= LONG_MS
    ]
    return TimelineDiagram(
        width=LEFT + STEP * len(drawn) + 16,
        height=TOP + LANE * len(names) + 8,
        lanes=tuple(lanes.items()),
        dots=tuple(dots),
        links=tuple(links),
        pauses=tuple(pauses),
        left_out=len(entries) - len(drawn),
    )


def tone_of(event_type: str) -> str:
    """How an event is coloured."""
    if any(word in event_type for word in ("FAILED", "REFUSED", "CANCELLED", "DISPUTED", "DEAD")):
        return "bad"
    if any(word in event_type for word in ("COMPLETED", "DELIVERED", "CONFIRMED", "SENT")):
        return "good"
    return "info" if event_type.startswith(("EFFECT", "STRIPE", "NOTIFICATION")) else "plain"


def since_text(ms: int) -> str:
    """A span of time, short: 320 ms, 4.1 s, 12 min."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms // 60_000} min" if ms < 7_200_000 else f"{ms // 3_600_000} h"


def _rank(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _link(cause: EventMark, effect: EventMark) -> str:
    if cause.y == effect.y:
        lift = 16 + min(10, (effect.x - cause.x) // STEP * 2)
        middle = (cause.x + effect.x) // 2
        return f"M{cause.x} {cause.y}Q{middle} {cause.y - lift} {effect.x} {effect.y}"
    bend = (effect.x - cause.x) // 2
    return f"M{cause.x} {cause.y}C{cause.x + bend} {cause.y} {effect.x - bend} {effect.y} {effect.x} {effect.y}"
