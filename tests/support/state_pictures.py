"""State graphs as SVG: the usual way in one row, what leads off it in the row below, an arrow a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

COLUMN, ROW, WIDTH, HEIGHT, MARGIN = 205, 130, 160, 34, 40
BELOW: Final = frozenset({"PAYMENT_FAILED", "FAILED", "CANCELLED", "REFUNDED"})
"""States off the usual way."""
STYLE: Final = (
    "text{font:12px system-ui,sans-serif;text-anchor:middle;fill:#1c2733}"
    "rect{fill:#eef3fb;stroke:#3566a8}rect.end{fill:#e9f5ec;stroke:#2f7d46}"
    "path{fill:none;stroke:#5b6b7c}"
)
MARKER: Final = (
    '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0 8 4 0 8z" style="fill:#5b6b7c;stroke:none"/></marker></defs>'
)


def picture(graph: Mapping[Any, Iterable[Any]]) -> str:
    """An SVG of a state graph, with a white ground. None is what is before the first state."""
    edges = {
        str(here): sorted(map(str, after)) for here, after in graph.items() if here is not None
    }
    places = {
        state: (MARGIN + column * COLUMN, MARGIN + row * ROW)
        for state, (column, row) in _cells(edges).items()
    }
    width = 2 * MARGIN + WIDTH + max(x for x, _ in places.values()) - MARGIN
    height = 2 * MARGIN + HEIGHT + max(y for _, y in places.values()) - MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
        f"<style>{STYLE}</style>",
        MARKER,
        f'<rect width="{width}" height="{height}" style="fill:#fff;stroke:none"/>',
    ]
    lines += [_arrow(places[here], places[to]) for here, after in edges.items() for to in after]
    lines += [_box(state, places[state], is_end=not edges[state]) for state in places]
    return "\n".join([*lines, "</svg>", ""])


def _cells(edges: Mapping[str, list[str]]) -> dict[str, tuple[int, int]]:
    """State -> its column and row; below, near the states that lead to it."""
    usual = [state for state in edges if state not in BELOW]
    cells = {state: (column, 0) for column, state in enumerate(usual)}
    taken = -1
    for state in edges:
        if state in BELOW:
            before = [
                cells[here][0] for here, after in edges.items() if state in after and here in cells
            ]
            taken = max(taken + 1, sum(before) // max(len(before), 1))
            cells[state] = (taken, 1)
    return cells


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = start, end
    middle, half = WIDTH // 2, HEIGHT // 2
    if y1 != y2:  # from row to row; those up a little to the left, so that both ways are seen
        down = y2 > y1
        ax, bx = (x + middle + (10 if down else -10) for x in (x1, x2))
        ay, by = (y1 + HEIGHT, y2) if down else (y1, y2 + HEIGHT)
        path = f"M{ax} {ay}C{ax} {(ay + by) // 2} {bx} {(ay + by) // 2} {bx} {by}"
    elif x2 > x1 and x2 - x1 == COLUMN:
        path = f"M{x1 + WIDTH} {y1 + half}L{x2} {y2 + half}"
    else:  # over others, or back: in a bow, above in the upper row and below in the lower one
        is_upper = y1 == MARGIN
        edge, bow = (y1, y1 - 36) if is_upper else (y1 + HEIGHT, y1 + HEIGHT + 36)
        ax, bx = x1 + middle, x2 + middle
        path = f"M{ax} {edge}C{ax} {bow} {bx} {bow} {bx} {edge}"
    return f'<path d="{path}" marker-end="url(#a)"/>'


def _box(state: str, place: tuple[int, int], *, is_end: bool) -> str:
    x, y = place
    kind = ' class="end"' if is_end else ""
    return (
        f'<rect{kind} x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{x + WIDTH // 2}" y="{y + HEIGHT // 2 + 4}">{escape(state)}</text>'
    )
