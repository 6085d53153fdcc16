"""Pictures of Japanese dishes."""

from random import Random
from typing import Final

from web.pages.pictures.shapes import (
    CX,
    CY,
    Draw,
    blob,
    bowl,
    box,
    circle,
    egg,
    ellipse,
    grains,
    herbs,
    leaf,
    noodles,
    path,
    plate,
    rice_bowl,
    scatter,
    seeds,
    shadow,
)


def _ramen(rng: Random, broth: str, more: str) -> str:
    pork = "".join(
        circle(x, y, 23, "#b98263")
        + circle(x, y, 20, "#e2b294")
        + path(f"M{x - 11} {y}a11 11 0 1 1 11 11a7 7 0 1 1 -5 -10", stroke="#b5765a", width=4)
        for x, y in ((122, 98), (140, 84))
    )
    nori = box(196, 58, 30, 52, 2, "#1f3327", 14)
    return (
        bowl(broth, "#a8322a", "#c9483c")
        + noodles(rng, "#f3d58c", 62)
        + noodles(rng, "#e8c26d", 52, 10, 3)
        + nori
        + pork
        + egg(186, 146, 23)
        + more
        + scatter(
            rng,
            13,
            lambda x, y: circle(x, y, 4, "none", 'stroke="#5fa04e" stroke-width="2.4"'),
            26,
            128,
            152,
        )
    )


def _soba(rng: Random, noodle: str, topping: str) -> str:
    return (
        bowl("#8a5a2c", "#23405c", "#35608a")
        + noodles(rng, noodle, 62, 30, 4.5)
        + topping
        + scatter(
            rng,
            10,
            lambda x, y: circle(x, y, 3.6, "none", 'stroke="#5fa04e" stroke-width="2.2"'),
            22,
            196,
            148,
        )
    )


def _lacquer(inside: str, content: str) -> str:
    return (
        shadow(162, 132, 128, 88)
        + box(40, 40, 240, 160, 12, "#1c1414")
        + box(45, 45, 230, 150, 9, "#8f1f1b")
        + box(56, 56, 208, 128, 5, inside)
        + content
    )


def _unaju(rng: Random) -> str:
    rice = grains(rng, ("#ffffff", "#f1ebdd"), 100, 170)
    eel = "".join(
        box(72, y, 176, 50, 12, "#6b3412")
        + box(74, y + 2, 172, 42, 11, "#96521d")
        + "".join(
            path(f"M{x} {y + 8}q5 14 0 30", stroke="#5a2a0e", width=3, opacity=0.6)
            for x in range(92, 240, 17)
        )
        + path(f"M86 {y + 10}H232", stroke="#e9a860", width=4, opacity=0.55)
        for y in (66, 122)
    )
    return _lacquer(
        "#f6f1e4",
        f'<svg x="56" y="56" width="208" height="128" viewBox="56 56 208 128">{rice}</svg>'
        + eel
        + leaf(252, 176, 9, -30),
    )


def _sushi(rng: Random) -> str:
    def piece(x: float, y: float) -> str:
        return (
            box(x, y + 6, 34, 62, 7, "#e9e2d2")
            + box(x, y, 34, 60, 7, "#fffdf6")
            + box(x + 1, y, 32, 40, 6, "#7f97a6")
            + box(x + 1, y, 32, 16, 6, "#3f5a6b")
            + path(f"M{x + 5} {y + 24}q12 6 24 0", stroke="#dfe8ee", width=2.6)
        )

    board = (
        shadow(162, 150, 126, 62)
        + box(36, 66, 248, 120, 8, "#b98450")
        + box(36, 66, 248, 110, 8, "#d3a26c")
    )
    return (
        board
        + "".join(piece(52 + n * 38, 82) for n in range(5))
        + blob(rng, 262, 104, 12, "#9cc35a")
        + path("M246 150q16 -18 30 0q-14 14 -30 0Z", "#f2b8b0")
    )


def _tofu(rng: Random) -> str:
    def cube(x: float, y: float) -> str:
        return (
            path(f"M{x} {y}l36 -14 34 13 -36 16Z", "#f3d9a4")
            + path(f"M{x} {y}v26l34 15v-26Z", "#d9ae6a")
            + path(f"M{x + 34} {y + 15}v26l36 -16v-26Z", "#c9974f")
        )

    return (
        bowl("#7a4a20", "#2c3f3a", "#40584f")
        + cube(98, 96)
        + cube(152, 112)
        + cube(122, 136)
        + blob(rng, 166, 94, 15, "#fbf7ee", 0.2)
        + seeds(rng, "#3f8f4f", 14, 40)
        + leaf(176, 86, 8, -40)
    )


def _pickles(rng: Random) -> str:
    def heap(x: float, y: float, fill: str, rim: str) -> str:
        return scatter(
            rng, 11, lambda a, b: circle(a, b, 11, rim) + circle(a, b, 8.5, fill), 26, x, y
        )

    return (
        plate(100, "#2f3a44", "#3d4b57", "#232c34")
        + heap(122, 96, "#f2c84b", "#dca92c")
        + heap(196, 108, "#c96a9c", "#a8487c")
        + heap(152, 156, "#9cc070", "#5f8f46")
    )


def _omelette(rng: Random) -> str:
    def slab(x: float) -> str:
        return (
            box(x, 76, 40, 92, 10, "#d79f2e")
            + box(x, 72, 40, 90, 10, "#f6cf5c")
            + path(f"M{x + 10} 104q10 -14 20 0t-4 26q-14 2 -12 -12", stroke="#dca63a", width=3)
        )

    return (
        shadow(160, 176, 128, 18)
        + box(36, 58, 248, 124, 10, "#26404a")
        + box(42, 62, 236, 112, 8, "#33545f")
        + "".join(slab(64 + n * 46) for n in range(4))
        + blob(rng, 262, 150, 13, "#fbf7ee")
        + leaf(256, 84, 12, 60)
    )


def _mochi(rng: Random) -> str:
    pieces = scatter(
        rng,
        9,
        lambda x, y: blob(rng, x, y + 3, 17, "#a87a3c", 0.1) + blob(rng, x, y, 17, "#d7ad68", 0.1),
        48,
    )
    syrup = path("M112 92Q150 120 140 150T190 168", stroke="#3a1e10", width=6, opacity=0.85)
    return (
        plate(94, "#d9e3dd", "#c3d2ca", "#a9bcb2") + pieces + seeds(rng, "#ecd29a", 60, 66) + syrup
    )


DISHES: Final[dict[str, Draw]] = {
    "shoyu-ramen": lambda rng: _ramen(rng, "#a8622a", ""),
    "miso-ramen": lambda rng: _ramen(
        rng,
        "#d79a4a",
        scatter(rng, 24, lambda x, y: ellipse(x, y, 3.8, 3, "#f6cf3e"), 24, 126, 158)
        + box(168, 108, 22, 20, 4, "#fbe9a6", 12),
    ),
    "yuba-don": lambda rng: rice_bowl(
        rng,
        "#fffaf0",
        ("#ffffff", "#f1ebdd"),
        "".join(
            path(f"M{x} {y}q18 -40 44 -20t32 -12q12 30 -18 40t-58 -8Z", f)
            + path(f"M{x + 8} {y - 4}q20 -22 36 -10t26 -8", stroke="#d8b056", width=2.5)
            for x, y, f in ((100, 112, "#efcf86"), (134, 146, "#f3d893"), (118, 176, "#eac777"))
        )
        + seeds(rng, "#3b2a1a", 12, 40)
        + leaf(196, 104, 11, -30)
        + leaf(204, 116, 9, 10),
        "#1d1b1c",
    ),
    "oyakodon": lambda rng: rice_bowl(
        rng,
        "#fffaf0",
        ("#ffffff", "#f1ebdd"),
        blob(rng, CX, CY, 56, "#f3c23c", 0.1)
        + blob(rng, CX + 6, CY - 4, 40, "#fbe28a", 0.2)
        + scatter(rng, 7, lambda x, y: blob(rng, x, y, 11, "#c98a4c", 0.2), 36)
        + herbs(rng, 6, 36),
        "#1d1b1c",
    ),
    "unaju": _unaju,
    "saba-zushi": _sushi,
    "nishin-soba": lambda rng: _soba(
        rng,
        "#9c8468",
        box(112, 92, 104, 32, 14, "#4f3220", -16)
        + path("M126 118L208 92", stroke="#b98a5a", width=4, opacity=0.7),
    ),
    "kitsune-udon": lambda rng: _soba(
        rng,
        "#f6ecd2",
        path("M108 130L146 72L206 100L168 156Z", "#b9742a")
        + path("M112 127L147 77L198 101L166 149Z", "#d9983f"),
    ),
    "agedashi-tofu": _tofu,
    "tsukemono": _pickles,
    "dashimaki": _omelette,
    "warabi-mochi": _mochi,
}
"""Dish -> its drawing."""
