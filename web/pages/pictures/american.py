"""Pictures of American dishes."""

import functools
from random import Random
from typing import Final

from web.pages.pictures.shapes import (
    CX,
    CY,
    Draw,
    bowl,
    box,
    bun,
    circle,
    egg,
    frill,
    glass,
    herbs,
    katori,
    lemon,
    path,
    plate,
    salad,
    scatter,
    seeds,
    shadow,
    soup,
)

HOT: Final = "#c9462c"


def _burger(patties: tuple[str, ...], layers: str) -> str:
    y = 178
    drawn = shadow(160, 208, 96, 13) + path(
        f"M84 {y}h152v10q0 18 -20 18H104q-20 0 -20 -18Z", "#d08a40"
    )
    for colour in patties:
        y -= 24
        drawn += box(78, y, 164, 24, 11, colour) + path(
            f"M92 {y + 8}h50", stroke="#fff", width=3, opacity=0.16
        )
        y -= 3
        drawn += frill(160, y, 160, "#f6bc3c", 5, 13)
        y -= 4
    drawn += frill(160, y, 172, "#6fae4a", 9, 8)
    y -= 6
    return drawn + layers.replace("{y}", str(y - 9)) + bun(160, y - 8, 160)


def _sandwich(_: Random) -> str:
    return (
        shadow(160, 206, 104, 13)
        + box(70, 168, 180, 32, 14, "#d08a40")
        + frill(160, 160, 176, "#e9dfe6", 10, 9)
        + path(
            "M74 156q12 -34 44 -24q24 -22 52 -4q30 -14 46 8q22 4 26 22q-84 16 -168 -2Z", "#c9832f"
        )
        + path(
            "M92 146q10 -12 24 -8M150 138q14 -8 26 2M202 146q10 -4 18 4",
            stroke="#eebd6e",
            width=5,
            opacity=0.8,
        )
        + path("M84 132q40 16 92 2t68 -2", stroke="#d9761e", width=7)
        + bun(160, 124, 176, "#dd9444")
    )


def _fries(rng: Random) -> str:
    sticks = "".join(
        box(
            96 + n * 9.4,
            40 + rng.uniform(0, 34),
            11,
            120,
            3,
            rng.choice(("#f3c44d", "#e9b338", "#f8d675")),
            rng.uniform(-9, 9),
        )
        for n in range(14)
    )
    return (
        shadow(160, 212, 76, 11)
        + sticks
        + path("M88 116Q160 140 232 116L216 210H104Z", "#c9322b")
        + path("M96 124Q160 146 224 124L221 142Q160 164 99 142Z", "#fff", opacity=0.92)
    )


def _rings(rng: Random) -> str:
    def ring(x: float, y: float) -> str:
        return (
            circle(x, y + 4, 30, "none", 'stroke="#a8641f" stroke-width="17"')
            + circle(x, y, 30, "none", 'stroke="#dd9a3e" stroke-width="16"')
            + circle(x, y, 33, "none", 'stroke="#f0bd6a" stroke-width="3" stroke-dasharray="9 12"')
        )

    return (
        plate(102)
        + ring(118, 112)
        + ring(196, 104)
        + ring(158, 146)
        + ring(160, 92)
        + katori(226, 172, 24, HOT)
        + herbs(rng, 4, 60)
    )


def _cube(rng: Random, fill: str, x: float, y: float) -> str:
    return box(x - 6, y - 5, 12, 10, 3, fill, rng.uniform(0, 90))


def _cobb(rng: Random) -> str:
    rows = "".join(
        scatter(rng, 9, functools.partial(_cube, rng, fill), 30, 108 + n * 35, 120, 1.6)
        for n, fill in enumerate(("#f0dcb4", "#b8483a", "#9cc56a", "#dfe6f0"))
    )
    return salad(
        rng,
        ("#7fb356", "#5f9a45", "#a3cc78"),
        rows + egg(142, 78, 17, "#f3b73b") + egg(188, 164, 17, "#f3b73b"),
    )


def _caesar(rng: Random) -> str:
    bread = scatter(
        rng, 12, lambda x, y: box(x - 8, y - 8, 16, 16, 4, "#d9a14e", rng.uniform(0, 90)), 56
    )
    cheese = scatter(rng, 15, lambda x, y: path(f"M{x:.0f} {y:.0f}l14 4 -8 7Z", "#fff6da"), 58)
    return salad(rng, ("#3f7a45", "#2f6537", "#5b9458"), bread + cheese)


def _mac(rng: Random) -> str:
    pasta = scatter(
        rng,
        62,
        lambda x, y: path(
            f"M{x - 7:.0f} {y:.0f}q7 -11 14 0",
            stroke=rng.choice(("#f3b43a", "#f8c95f", "#e9a227")),
            width=6.5,
        ),
        66,
    )
    return (
        bowl("#e39a1f", "#2f4a63", "#3f6488")
        + pasta
        + seeds(rng, "#a8641f", 60, 62)
        + herbs(rng, 6, 46)
    )


def _pie(_: Random) -> str:
    return (
        plate(102)
        + path("M78 150L236 92L226 160L100 190Z", "#c99a52")
        + path("M78 132L236 76V132L96 176Z", "#f2ecb0")
        + path("M78 132L236 76L224 60Q150 56 74 116Z", "#fbf8dd")
        + "".join(
            circle(x, y, r, "#ffffff") for x, y, r in ((196, 66, 17), (216, 74, 14), (178, 74, 13))
        )
        + lemon(196, 60, 14, "#7fb33e", "#dcecae")
    )


def _shake(_: Random) -> str:
    foam = (
        circle(140, 74, 22, "#fffdf6")
        + circle(178, 74, 22, "#fffdf6")
        + circle(159, 58, 23, "#ffffff")
        + circle(164, 36, 9, HOT)
    )
    return glass("#f6e7c4", "#fbf1d8", foam=foam)


def _dip(rng: Random) -> str:
    return (
        shadow(162, 130, 66, 62)
        + circle(CX, CY, 62, "#e9e1d2")
        + circle(CX, CY, 58, "#fffdf8")
        + circle(CX, CY, 47, "#d9622b")
        + path("M136 112q24 -22 48 0t-10 34t-40 -8", stroke="#f2955e", width=7)
        + herbs(rng, 5, 32)
    )


DISHES: Final[dict[str, Draw]] = {
    "smash-burger": lambda _: _burger(("#5a2c17", "#66351c"), ""),
    "veggie-burger": lambda _: _burger(
        ("#3d2a24",), path("M92 {y}h136v8H92Z", "#9cc35a") + path("M84 {y}h152v-6H84Z", "#c8402a")
    ),
    "buttermilk-chicken": _sandwich,
    "mac-and-cheese": _mac,
    "cobb-salad": _cobb,
    "kale-caesar": _caesar,
    "fries": _fries,
    "onion-rings": _rings,
    "tomato-soup": lambda rng: soup(
        rng,
        "#d0431f",
        "#f6d9b4",
        box(214, 150, 40, 70, 8, "#b9772c", 38) + box(216, 152, 32, 62, 6, "#e9b45c", 38),
    ),
    "key-lime-pie": _pie,
    "vanilla-shake": _shake,
    "dipping-sauce": _dip,
}
"""Dish -> its drawing."""
