"""Pictures of Levantine dishes."""

from random import Random
from typing import Final

from web.pages.pictures.shapes import (
    CX,
    CY,
    Draw,
    around_x,
    around_y,
    blob,
    bowl,
    box,
    circle,
    ellipse,
    glass,
    grains,
    herbs,
    katori,
    leaf,
    lemon,
    path,
    plate,
    salad,
    scatter,
    seeds,
    shadow,
    skewer,
    soup,
)

CREAM: Final = "#fbf3e0"


def _mansaf(rng: Random) -> str:
    meat = "".join(
        blob(rng, x, y, 23, "#6b3a1f", 0.18) + blob(rng, x - 2, y - 4, 16, "#8f5530", 0.18)
        for x, y in ((134, 104), (184, 100), (162, 142))
    )
    almonds = scatter(
        rng, 15, lambda x, y: ellipse(x, y, 6, 3.4, "#e2b06a", rng.uniform(0, 180)), 60
    )
    return (
        plate(108, "#c9a24a", "#f7efd8", "#a8822f")
        + ellipse(CX, CY, 78, 74, "#f6eccf")
        + grains(rng, ("#fffaf0", "#f3e0ac", "#fff3cf"), 72, 170)
        + meat
        + almonds
        + herbs(rng, 12, 62)
        + katori(262, 186, 26, CREAM)
    )


def _maqluba(rng: Random) -> str:
    slices = "".join(
        circle(around_x(n, 7, 40, -10, 309), around_y(n, 7, 40, -10, 309), 20, "#4a2747")
        + circle(around_x(n, 7, 40, -10, 309), around_y(n, 7, 40, -10, 309), 16, "#b98a5a")
        for n in range(7)
    )
    return (
        plate(106)
        + circle(CX, CY + 4, 74, "#b5792c")
        + circle(CX, CY, 73, "#e3ae4e")
        + grains(rng, ("#f8dd9c", "#eec271", "#fff0c4"), 68, 130)
        + slices
        + blob(rng, CX, CY, 18, "#b9622d", 0.15)
        + seeds(rng, "#f6e3b4", 26, 64)
        + herbs(rng, 10, 64)
    )


def _rolls(rng: Random) -> str:
    def roll(x: float, y: float, turn: float) -> str:
        inner = (
            box(-58, -20, 116, 42, 20, "#b98445")
            + box(-58, -22, 116, 40, 20, "#e2b878")
            + "".join(ellipse(-38 + n * 19, -6 + (n % 2) * 9, 6, 3, "#c08a48") for n in range(5))
            + ellipse(57, -1, 9, 18, "#7a3b5a")
            + ellipse(57, -1, 5, 12, "#b9622d")
        )
        return f'<g transform="translate({x} {y}) rotate({turn})">{inner}</g>'

    return (
        plate(106)
        + roll(144, 80, -12)
        + roll(152, 124, -8)
        + roll(146, 168, -4)
        + seeds(rng, "#8a2340", 30, 70)
        + herbs(rng, 5, 70)
    )


def _falafel(rng: Random) -> str:
    balls = "".join(
        shadow(x + 2, y + 6, 24, 22)
        + blob(rng, x, y, 24, "#6b431b", 0.08)
        + blob(rng, x - 3, y - 4, 18, "#8f6128", 0.1)
        + seeds(rng, "#b98a44", 8, 15, x, y)
        for x, y in ((112, 96), (162, 80), (210, 98), (122, 148), (172, 134), (168, 184))
    )
    return (
        plate(110)
        + herbs(rng, 18, 76, "#6fae4a", 13)
        + balls
        + katori(232, 158, 28, "#f3e6c6")
        + ellipse(86, 172, 8, 20, "#d98aa8", 30)
    )


def _dip_bowl(rng: Random, fill: str, light: str, more: str) -> str:
    swirl = path(
        "M108 112q10 -44 60 -40t50 54t-60 44t-38 -54t40 -26t24 36t-30 12",
        stroke=light,
        width=11,
        opacity=0.9,
    )
    oil = path("M132 104q34 -22 56 8t-26 40", stroke="#b8a02a", width=6, opacity=0.8)
    return bowl(fill, "#27516b", "#3a7394") + swirl + oil + more + herbs(rng, 4, 60)


def _hummus(rng: Random) -> str:
    peas = scatter(
        rng, 9, lambda x, y: circle(x, y, 6, "#d9a94f") + circle(x - 1.5, y - 2, 3, "#f0cd86"), 18
    )
    return _dip_bowl(rng, "#e5cf9f", "#f3e3bd", peas + seeds(rng, "#b5402a", 26, 60))


def _moutabal(rng: Random) -> str:
    ruby = scatter(rng, 15, lambda x, y: ellipse(x, y, 4.4, 3.6, "#b51f3a", rng.uniform(0, 90)), 54)
    return _dip_bowl(rng, "#cbbfa4", "#e0d7c1", ruby)


def _fattoush(rng: Random) -> str:
    bits = scatter(
        rng,
        26,
        lambda x, y: rng.choice(
            (
                circle(x, y, 9, "#d8402f") + circle(x, y, 5, "#f0705a"),
                circle(x, y, 9, "#6fae5a") + circle(x, y, 7, "#dcefc4"),
                path(f"M{x - 9:.0f} {y:.0f}l10 -10 9 14Z", "#d9a14e"),
                circle(x, y, 7, "#f6e9f2", 'stroke="#c34a86" stroke-width="3"'),
            )
        ),
        62,
    )
    return salad(rng, ("#6fae4a", "#8cc265", "#4f9440"), bits + seeds(rng, "#8a2340", 30, 62))


def _tawook(rng: Random) -> str:
    colours = ("#d9902f", "#c97a24", "#d84a2f", "#dd9a3c", "#6fae4a")
    return (
        plate(110)
        + "".join(skewer(150, y, -9, colours) for y in (84, 122, 160))
        + katori(226, 176, 27, CREAM)
        + herbs(rng, 6, 70)
        + lemon(86, 172, 19)
    )


def _kofta(rng: Random) -> str:
    logs = "".join(
        box(x, y + 3, 74, 26, 13, "#5a2c14", t) + box(x, y, 74, 24, 12, "#7e4320", t)
        for x, y, t in ((92, 84, -16), (160, 96, 12), (98, 134, 8), (162, 146, -14))
    )
    return (
        bowl("#efdcb4", "#8c4a22", "#a9602f")
        + logs
        + scatter(rng, 7, lambda x, y: circle(x, y, 11, "#f3cf6e") + circle(x, y, 8, "#f8dd8c"), 62)
        + seeds(rng, "#e2b06a", 20, 58)
        + herbs(rng, 8, 60)
    )


def _knafeh(rng: Random) -> str:
    threads = scatter(
        rng,
        60,
        lambda x, y: path(
            f"M{x:.0f} {y:.0f}q8 -5 16 2",
            stroke=rng.choice(("#f09a2c", "#e07f18", "#f7b54e")),
            width=3,
        ),
        68,
    )
    nuts = scatter(
        rng,
        40,
        lambda x, y: box(x, y, 6, 5, 1.5, rng.choice(("#7ba53a", "#5f8a2c")), rng.uniform(0, 90)),
        34,
    )
    return (
        plate(102, "#d8d5cf", "#eceae5", "#b9b4aa")
        + circle(CX, CY + 4, 77, "#b85f10")
        + circle(CX, CY, 77, "#e88a20")
        + threads
        + nuts
    )


def _lemonade(rng: Random) -> str:
    ice = box(132, 96, 26, 26, 5, "#ffffff", 14).replace("/>", ' opacity=".5"/>') + box(
        162, 118, 24, 24, 5, "#ffffff", -12
    ).replace("/>", ' opacity=".45"/>')
    mint = "".join(
        leaf(x, y, 15, t) for x, y, t in ((146, 72, -50), (166, 66, -100), (184, 76, -20))
    )
    return (
        glass("#a9cf6b", "#c6e08f", foam=ice + mint, straw="#ffffff")
        + lemon(206, 74, 23)
        + herbs(rng, 1, 4)
    )


DISHES: Final[dict[str, Draw]] = {
    "mansaf": _mansaf,
    "maqluba": _maqluba,
    "musakhan": _rolls,
    "falafel-plate": _falafel,
    "hummus": _hummus,
    "moutabal": _moutabal,
    "fattoush": _fattoush,
    "shish-tawook": _tawook,
    "kofta": _kofta,
    "lentil-soup": lambda rng: soup(
        rng, "#dfa02f", "#f3cf7e", seeds(rng, "#b5402a", 22, 56) + lemon(226, 172, 22)
    ),
    "knafeh": _knafeh,
    "mint-lemonade": _lemonade,
}
"""Dish -> its drawing."""
