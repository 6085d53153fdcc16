"""Shapes that pictures of food are made of: each gives SVG for a canvas of 320 by 240.

Everything that looks scattered by hand comes from a random generator that the dish's id seeds, so a dish
always looks the same.
"""

import math
from collections.abc import Callable, Sequence
from random import Random

CX, CY = 160.0, 120.0

Draw = Callable[[Random], str]
"""Gives a dish's SVG; the generator is seeded by its id."""


def circle(x: float, y: float, r: float, fill: str, more: str = "") -> str:
    """A disc."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{fill}"{more and " " + more}/>'


def ellipse(x: float, y: float, rx: float, ry: float, fill: str, turn: float = 0) -> str:
    """An ellipse, turned by degrees."""
    spin = f' transform="rotate({turn:.0f} {x:.1f} {y:.1f})"' if turn else ""
    return f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{rx:.1f}" ry="{ry:.1f}" fill="{fill}"{spin}/>'


def box(x: float, y: float, w: float, h: float, r: float, fill: str, turn: float = 0) -> str:
    """A rounded rectangle, turned by degrees about its middle."""
    spin = f' transform="rotate({turn:.0f} {x + w / 2:.1f} {y + h / 2:.1f})"' if turn else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{r:.1f}" '
        f'fill="{fill}"{spin}/>'
    )


def path(d: str, fill: str = "none", stroke: str = "", width: float = 0, opacity: float = 1) -> str:
    """A path."""
    line = f' stroke="{stroke}" stroke-width="{width:g}" stroke-linecap="round"' if stroke else ""
    faint = f' opacity="{opacity:g}"' if opacity < 1 else ""
    return f'<path d="{d}" fill="{fill}"{line} stroke-linejoin="round"{faint}/>'


def blob(
    rng: Random,
    x: float,
    y: float,
    r: float,
    fill: str,
    rough: float = 0.12,
    flat: float = 1,
) -> str:
    """A round thing of nature: never quite round."""
    count = 9
    points = []
    for n in range(count):
        angle = 2 * math.pi * n / count
        reach = r * (1 + rng.uniform(-rough, rough))
        points.append((x + math.cos(angle) * reach, y + math.sin(angle) * reach * flat))
    middles = [
        ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
        for a, b in zip(points, points[1:] + points[:1], strict=True)
    ]
    d = f"M{middles[-1][0]:.1f} {middles[-1][1]:.1f}" + "".join(
        f"Q{p[0]:.1f} {p[1]:.1f} {m[0]:.1f} {m[1]:.1f}"
        for p, m in zip(points, middles, strict=True)
    )
    return path(d + "Z", fill)


def scatter(
    rng: Random,
    count: int,
    draw: Callable[[float, float], str],
    r: float = 60,
    x: float = CX,
    y: float = CY,
    flat: float = 1,
) -> str:
    """Many of a thing over a disc, evenly, as a cook would strew them."""
    drawn = []
    for n in range(count):
        reach = r * math.sqrt((n + rng.random()) / count)
        angle = n * 2.399963 + rng.uniform(-0.35, 0.35)
        drawn.append(draw(x + math.cos(angle) * reach, y + math.sin(angle) * reach * flat))
    return "".join(drawn)


def shadow(x: float, y: float, rx: float, ry: float) -> str:
    """What a thing's weight leaves on the table."""
    return ellipse(x, y, rx, ry, "#000").replace("/>", ' opacity=".13"/>')


def plate(r: float = 94, rim: str = "#fffdf8", well: str = "#f3ece0", edge: str = "#e3d8c6") -> str:
    """A plate from above."""
    return (
        shadow(CX + 2, CY + 9, r + 2, r)
        + circle(CX, CY, r, rim, f'stroke="{edge}" stroke-width="1.5"')
        + circle(CX, CY, r * 0.74, well)
        + circle(CX, CY, r * 0.74, "none", f'stroke="{edge}" stroke-width="1.5"')
    )


def bowl(
    inside: str, outside: str = "#2f3a4a", rim: str = "#46566c", r: float = 92, depth: float = 14
) -> str:
    """A bowl from above, filled with a colour."""
    return (
        shadow(CX + 2, CY + 10, r + 3, r)
        + circle(CX, CY, r, outside)
        + circle(CX, CY, r - 3, rim)
        + circle(CX, CY, r - depth, inside)
        + path(
            f"M{CX - r + 9} {CY - 18}A{r - 9} {r - 9} 0 0 1 {CX - 28} {CY - r + 13}",
            stroke="#fff",
            width=3,
            opacity=0.35,
        )
    )


def katori(x: float, y: float, r: float, fill: str, metal: str = "#d5d9dd") -> str:
    """A small metal bowl of something."""
    return (
        shadow(x + 1, y + 4, r + 1, r)
        + circle(x, y, r, metal)
        + circle(x, y, r - 2, "#f4f6f7")
        + circle(x, y, r - 5, fill)
        + path(
            f"M{x - r + 9:.1f} {y - 3:.1f}a{r - 9:.1f} {r - 9:.1f} 0 0 1 {r - 8:.1f} -{r - 10:.1f}",
            stroke="#fff",
            width=2,
            opacity=0.5,
        )
    )


def leaf(x: float, y: float, size: float, turn: float, fill: str = "#3f8f4f") -> str:
    """A herb's leaf."""
    return (
        f'<g transform="translate({x:.1f} {y:.1f}) rotate({turn:.0f}) scale({size / 10:.2f})">'
        f'<path d="M-10 0Q0 -8 10 0Q0 8 -10 0Z" fill="{fill}"/>'
        '<path d="M-8 0H8" stroke="#fff" stroke-width=".9" opacity=".35"/></g>'
    )


def banana_leaf() -> str:
    """A banana leaf as a plate."""

    def reach(x: float) -> float:
        return 70 * math.sqrt(max(0, 1 - ((x - 162) / 138) ** 2))

    ribs = "".join(
        path(
            f"M{x} 120q12 {s * reach(x) * 0.5:.0f} 10 {s * reach(x):.0f}",
            stroke="#2f7d3d",
            width=1.6,
            opacity=0.5,
        )
        for x in range(44, 284, 22)
        for s in (-1, 1)
    )
    shape = "M18 120C40 22 262 18 304 112C312 124 306 136 298 144C250 222 44 220 18 120Z"
    return (
        path(shape.replace("M18 120", "M20 128"), "#000", opacity=0.12)
        + path(shape, "#4fa35c")
        + ribs
        + path("M18 120Q160 112 304 122", stroke="#cfe6b0", width=4)
    )


def noodles(rng: Random, fill: str, r: float = 60, count: int = 26, width: float = 4) -> str:
    """Noodles in a swirl."""
    drawn = []
    for n in range(count):
        reach = r * (0.25 + 0.75 * (n + 0.5) / count)
        start = rng.uniform(0, 360)
        sweep = rng.uniform(60, 150)
        a, b = math.radians(start), math.radians(start + sweep)
        x, y = CX + rng.uniform(-4, 4), CY + rng.uniform(-4, 4)
        drawn.append(
            path(
                f"M{x + reach * math.cos(a):.1f} {y + reach * math.sin(a):.1f}"
                f"A{reach:.1f} {reach:.1f} 0 0 1 {x + reach * math.cos(b):.1f} {y + reach * math.sin(b):.1f}",
                stroke=fill,
                width=width,
            )
        )
    return "".join(drawn)


def strokes(
    rng: Random,
    colour: str,
    count: int,
    r: float,
    x: float,
    y: float,
    length: float,
    width: float,
) -> str:
    """Many short strokes as one path, which keeps a bowl of rice small."""
    marks: list[str] = []

    def mark(mx: float, my: float) -> str:
        angle = rng.uniform(0, math.pi)
        dx, dy = math.cos(angle) * length, math.sin(angle) * length
        marks.append(f"M{mx:.0f} {my:.0f}l{dx:.1f} {dy:.1f}")
        return ""

    scatter(rng, count, mark, r, x, y)
    return path("".join(marks), stroke=colour, width=width)


def grains(
    rng: Random,
    colours: Sequence[str],
    r: float = 62,
    count: int = 150,
    x: float = CX,
    y: float = CY,
) -> str:
    """Rice."""
    each = count // len(colours)
    return "".join(strokes(rng, colour, each, r, x, y, 5.5, 3.4) for colour in colours)


def egg(x: float, y: float, r: float, yolk: str = "#f2a230") -> str:
    """Half a soft egg."""
    return (
        ellipse(x, y, r, r * 0.8, "#fffaf0")
        + ellipse(x + 1, y, r * 0.55, r * 0.5, yolk)
        + ellipse(x - r * 0.12, y - r * 0.14, r * 0.2, r * 0.13, "#ffd98a")
    )


def seeds(rng: Random, fill: str, count: int, r: float, x: float = CX, y: float = CY) -> str:
    """Sesame and the like."""
    return strokes(rng, fill, count, r, x, y, 2, 2.3)


def herbs(rng: Random, count: int, r: float, fill: str = "#3f8f4f", size: float = 6) -> str:
    """Leaves strewn over."""
    return scatter(rng, count, lambda x, y: leaf(x, y, size, rng.uniform(0, 360), fill), r)


def bun(x: float, y: float, w: float, top: str = "#d98a3d", seeded: bool = True) -> str:  # noqa: FBT001, FBT002
    """The upper half of a bun, from the side."""
    dots = "".join(
        ellipse(x + dx * w, y - dy, 3.2, 1.9, "#fbe3b4", dx * 60)
        for dx, dy in ((-0.3, 14), (-0.12, 27), (0.07, 17), (0.2, 29), (0.33, 13), (-0.02, 37))
    )
    left, right = x - w / 2, x + w / 2
    shape = f"M{left} {y}C{left} {y - 62} {right} {y - 62} {right} {y}Q{x} {y + 9} {left} {y}Z"
    shine = f"M{x - w * 0.36} {y - 17}Q{x - w * 0.28} {y - 36} {x - w * 0.1} {y - 41}"
    return (
        path(shape, top)
        + path(shine, stroke="#fff", width=4, opacity=0.35)
        + (dots if seeded else "")
    )


def frill(x: float, y: float, w: float, fill: str, waves: int = 8, drop: float = 9) -> str:
    """Lettuce or cheese that looks out of a bun."""
    step = w / waves
    d = f"M{x - w / 2:.1f} {y:.1f}" + "".join(
        f"q{step / 2:.1f} {drop * (1.7 if n % 2 else 1):.1f} {step:.1f} 0" for n in range(waves)
    )
    return path(d + f"v-7h-{w:.1f}Z", fill)


def glass(fill: str, top: str, *, x: float = CX, foam: str = "", straw: str = "#e2572b") -> str:
    """A tall glass from the side."""
    body = f"M{x - 42} 62L{x - 32} 206Q{x} 216 {x + 32} 206L{x + 42} 62Z"
    drink = f"M{x - 40} 84L{x - 31} 202Q{x} 211 {x + 31} 202L{x + 40} 84Z"
    return (
        shadow(x, 210, 52, 11)
        + path(f"M{x + 6} 150L{x + 30} 24", stroke=straw, width=8)
        + path(body, "#ffffff", opacity=0.55)
        + path(drink, fill)
        + ellipse(x, 84, 40, 9, top)
        + foam
        + path(f"M{x - 33} 92L{x - 26} 190", stroke="#fff", width=5, opacity=0.4)
    )


def skewer(x: float, y: float, turn: float, pieces: Sequence[str]) -> str:
    """Pieces on a stick."""
    drawn = path("M-78 0H84", stroke="#b98b5e", width=4)
    for n, fill in enumerate(pieces):
        drawn += box(-62 + n * 25, -14, 23, 28, 8, fill)
        drawn += path(f"M{-57 + n * 25} -8q6 -3 12 0", stroke="#fff", width=2.4, opacity=0.35)
    return f'<g transform="translate({x} {y}) rotate({turn})">{drawn}</g>'


def lemon(x: float, y: float, r: float, rind: str = "#f2c230", flesh: str = "#fbe58a") -> str:
    """A slice of a citrus fruit."""
    rays = "".join(
        path(
            f"M{x:.1f} {y:.1f}L{x + math.cos(a) * (r - 4):.1f} {y + math.sin(a) * (r - 4):.1f}",
            stroke=rind,
            width=1.6,
        )
        for a in (n * math.pi / 4 for n in range(8))
    )
    return circle(x, y, r, rind) + circle(x, y, r - 3, flesh) + rays


def rice_bowl(
    rng: Random, base: str, colours: tuple[str, ...], toppings: str, outside: str = "#8c4a22"
) -> str:
    """Rice in a bowl, with something on it."""
    return (
        bowl(base, outside, "#a9602f" if outside == "#8c4a22" else "#3d3a3c")
        + grains(rng, colours, 70, 190)
        + toppings
    )


def salad(rng: Random, greens: tuple[str, ...], more: str) -> str:
    """Leaves in a bowl."""
    leaves = scatter(
        rng,
        44,
        lambda x, y: leaf(x, y, rng.uniform(13, 20), rng.uniform(0, 360), rng.choice(greens)),
        66,
    )
    return bowl("#dfe8cf", "#f7f3ea", "#e8e1d2") + leaves + more


def soup(rng: Random, fill: str, swirl: str, more: str) -> str:
    """Soup with a swirl."""
    spiral = path(
        "M160 120q14 -12 22 4t-20 26t-44 -12t4 -50t66 -4t22 62", stroke=swirl, width=5, opacity=0.85
    )
    return bowl(fill, "#e9e1d2", "#fbf7ee") + spiral + herbs(rng, 5, 36) + more


def around_x(n: int, count: int, r: float, start: float, sweep: float) -> float:
    """X of the n-th of so many places on an arc, degrees."""
    return CX + r * math.cos(math.radians(start + sweep * n / max(1, count - 1)))


def around_y(n: int, count: int, r: float, start: float, sweep: float) -> float:
    """Y of it."""
    return CY + r * math.sin(math.radians(start + sweep * n / max(1, count - 1)))
