"""A chart of the engine's part as SVG: records a second as bars with their spread, latency beside them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import log10
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WIDTH: Final = 960
ROW: Final = 34
TOP: Final = 46
NAMES: Final = 310
BARS: Final = 300
TIMES: Final = 220
TIMES_LEFT: Final = NAMES + BARS + 90
OURS, THEIRS, INK, GRID = "#0b6e4f", "#9aa5b1", "#1f2933", "#d9dee4"


@dataclass(frozen=True, slots=True)
class Bar:
    """A contestant. times: median and 99th percentile in milliseconds, if they were measured."""

    name: str
    per_s: float
    least: float
    most: float
    times: tuple[float, float] | None


def write(path: Path, bars: Sequence[Bar]) -> None:
    """Draw the first bar as ours, the others as they come."""
    path.write_text("\n".join(svg(bars)) + "\n")


def svg(bars: Sequence[Bar]) -> list[str]:
    """The lines of the file."""
    height = TOP + ROW * len(bars) + 34
    most = max(bar.most for bar in bars)
    decades = _decades(bars)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
    lines = [
        f'{head} font-family="system-ui, sans-serif" font-size="13" role="img">',
        "<title>Records a second, and milliseconds until an event can be read</title>",
        _rectangle(0, 0, WIDTH, height, "#ffffff"),
        _text(NAMES, 24, "records a second", weight="bold"),
        _text(TIMES_LEFT, 24, "ms until readable: p50, p99", weight="bold"),
    ]
    for power in decades:
        x = _time_x(10.0**power, decades)
        lines.append(_line((x, x), (TOP - 8, height - 30), GRID, 1))
        lines.append(_text(x, height - 12, f"{10.0**power:g}", anchor="middle"))
    for number, bar in enumerate(bars):
        colour = OURS if number == 0 else THEIRS
        lines += _row(bar, TOP + ROW * number, BARS / most, decades, colour)
    return [*lines, "</svg>"]


def _row(bar: Bar, top: float, scale: float, decades: range, colour: str) -> list[str]:
    middle = top + ROW / 2
    least, most = (NAMES + value * scale for value in (bar.least, bar.most))
    lines = [
        _text(NAMES - 12, middle + 4, bar.name, anchor="end"),
        _rectangle(NAMES, top + 6, bar.per_s * scale, ROW - 12, colour),
        _line((least, most), (middle, middle), INK, 2),
        _text(most + 8, middle + 4, f"{bar.per_s:,.0f}"),
    ]
    if bar.times:
        first, last = (_time_x(time, decades) for time in bar.times)
        lines += [
            _line((first, last), (middle, middle), colour, 3),
            f'<circle cx="{first:.1f}" cy="{middle}" r="5" fill="{colour}"/>',
            f'<circle cx="{last:.1f}" cy="{middle}" r="4" fill="#ffffff" stroke="{colour}"/>',
        ]
    return lines


def _decades(bars: Sequence[Bar]) -> range:
    """Powers of ten that hold all times."""
    times = [time for bar in bars if bar.times for time in bar.times] or [1.0, 10.0]
    return range(int(log10(min(times)) // 1), int(-(-log10(max(times)) // 1)) + 1)


def _time_x(time: float, decades: range) -> float:
    return TIMES_LEFT + TIMES * (log10(time) - decades[0]) / (len(decades) - 1)


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    at = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {at} fill="{colour}"/>'


def _line(xs: tuple[float, float], ys: tuple[float, float], colour: str, width: int) -> str:
    at = f'x1="{xs[0]:.1f}" x2="{xs[1]:.1f}" y1="{ys[0]:.1f}" y2="{ys[1]:.1f}"'
    return f'<line {at} stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    shape = f'fill="{INK}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {shape}>{escape(text)}</text>'
