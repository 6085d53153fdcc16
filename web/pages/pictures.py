"""Pictures of dishes: each dish's drawing as data, from the shapes in drawing.py."""

import cmath
import functools
import math
import random
from collections.abc import Callable
from typing import Final

from web.pages.drawing import (
    CX,
    CY,
    banana_leaf,
    blob,
    bowl,
    box,
    bun,
    circle,
    egg,
    ellipse,
    frill,
    glass,
    grains,
    herbs,
    katori,
    leaf,
    lemon,
    noodles,
    path,
    plate,
    scatter,
    seeds,
    shadow,
    skewer,
)

Draw = Callable[[random.Random], str]

TABLES: Final = {
    "South Indian": ("#f6c667", "#e8973a"),
    "Japanese": ("#9fb8ad", "#5f8a84"),
    "American": ("#8fb4d9", "#4f7fae"),
    "Levantine": ("#d9a3a0", "#b3636b"),
}
"""Cuisine -> colours of the table."""
PLAIN: Final = ("#d8c7a8", "#b59a6d")
HOT, DEEP, GREEN, CREAM = "#c9462c", "#7a3b1d", "#3f8f4f", "#fbf3e0"
CHUTNEY, SAMBAR = "#e9efdc", "#c8702a"


@functools.lru_cache(maxsize=512)
def picture(dish_id: str, cuisine: str) -> str:
    """A dish as SVG; one that nobody drew is a covered plate in its cuisine's colours."""
    rng = random.Random(dish_id)  # noqa: S311 - strews herbs
    light, dark = TABLES.get(cuisine, PLAIN)
    food = DISHES.get(dish_id, _covered)(rng)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240" preserveAspectRatio="xMidYMid slice">'
        f'<defs><radialGradient id="t" cx=".4" cy=".3" r=".95"><stop stop-color="{light}"/>'
        f'<stop offset="1" stop-color="{dark}"/></radialGradient></defs>'
        f'<rect width="320" height="240" fill="url(#t)"/>{_cloth(rng, dark)}{food}</svg>'
    )


def _cloth(rng: random.Random, dark: str) -> str:
    """The table's weave, faint."""
    lines = "".join(
        path(f"M{x} -10L{x - 70} 250", stroke=dark, width=rng.choice((5, 9)), opacity=0.16)
        for x in range(10, 400, 44)
    )
    return lines


def _covered(rng: random.Random) -> str:
    return plate() + blob(rng, CX, CY, 48, "#e0a04b") + herbs(rng, 9, 44)


def _dosa(rng: random.Random, colour: str, *, rolled: bool) -> str:
    edge = "#b8772c"
    spots = scatter(
        rng,
        24,
        lambda x, y: ellipse(x, y, rng.uniform(3, 9), 2.2, edge, rng.uniform(-14, 10)),
        74,
        150,
        126,
        0.32,
    ).replace("/>", ' opacity=".42"/>')
    if rolled:
        body = (
            path("M40 112Q150 78 282 92Q296 104 288 130Q160 168 48 152Q30 134 40 112Z", edge)
            + path("M40 110Q150 76 282 90Q294 102 286 126Q160 162 48 148Q30 132 40 110Z", colour)
            + path("M60 122Q160 92 280 104", stroke="#f9dc9c", width=7, opacity=0.7)
            + spots
            + ellipse(284, 109, 8, 18, edge, -6)
            + ellipse(284, 109, 4, 12, "#7d4c1a", -6)
        )
    else:
        body = (
            path("M66 178L196 58Q262 96 272 168Q160 204 66 178Z", edge)
            + path("M66 174L196 56Q258 94 268 164Q160 198 66 174Z", colour)
            + path("M86 168L194 72", stroke="#f9dc9c", width=6, opacity=0.7)
            + spots
        )
    return banana_leaf() + body


def _masala_dosa(rng: random.Random) -> str:
    return (
        _dosa(rng, "#e0a043", rolled=True)
        + katori(88, 62, 26, SAMBAR)
        + katori(146, 48, 21, CHUTNEY)
        + katori(196, 44, 19, "#d85a36")
        + leaf(146, 48, 7, 30)
        + scatter(rng, 5, lambda x, y: circle(x, y, 2, "#f4d58a"), 14, 88, 62)
    )


def _ghee_roast(rng: random.Random) -> str:
    return (
        shadow(162, 200, 120, 14)
        + banana_leaf()
        + path("M54 186L164 22L276 176Q168 214 54 186Z", "#b86f22")
        + path("M60 182L164 26L270 172Q168 206 60 182Z", "#e2a13f")
        + path("M164 26L128 192", stroke="#c6832d", width=3, opacity=0.7)
        + path("M150 64L96 178", stroke="#f8dc9d", width=7, opacity=0.75)
        + scatter(
            rng, 16, lambda x, y: ellipse(x, y, 6, 2, "#b8772c", 60), 46, 176, 140, 0.8
        ).replace("/>", ' opacity=".4"/>')
        + katori(48, 92, 22, CHUTNEY)
        + katori(272, 84, 22, SAMBAR)
    )


def _idli(rng: random.Random) -> str:
    def cake(x: float, y: float) -> str:
        return (
            shadow(x + 2, y + 7, 37, 34) + circle(x, y, 36, "#f1ead8") + circle(x - 2, y - 3, 32, "#fffdf6")
            + scatter(rng, 12, lambda a, b: circle(a, b, 1.3, "#e7ddc6"), 25, x, y)
        )  # fmt: skip

    return (
        banana_leaf() + cake(116, 104) + cake(184, 94) + cake(152, 156)
        + katori(248, 130, 30, SAMBAR) + leaf(248, 128, 8, 20) + katori(68, 150, 21, CHUTNEY)
    )  # fmt: skip


def _vada(rng: random.Random) -> str:
    def ring(x: float, y: float) -> str:
        return (
            shadow(x + 2, y + 8, 46, 42) + blob(rng, x, y, 45, "#a8631f", 0.05)
            + blob(rng, x - 2, y - 3, 40, "#c98433", 0.06)
            + seeds(rng, "#8f4f17", 26, 34, x, y) + circle(x, y, 12, "#8f4f17") + circle(x, y + 1, 10, "#f3ece0")
        )  # fmt: skip

    return (
        plate(100)
        + ring(128, 104)
        + ring(186, 146)
        + katori(208, 78, 25, CHUTNEY)
        + herbs(rng, 3, 12)
    )


def _thali(rng: random.Random, bowls: int, *, big: bool) -> str:
    metal = (
        circle(CX, CY, 108, "#b9bec4")
        + circle(CX, CY, 104, "#e8ebee")
        + circle(CX, CY, 96, "#d9dde1")
    )
    fills = (SAMBAR, "#dca52c", "#5c8f3a", "#c8402a", "#f6f1e4", "#8a5a2b", "#e9b84c", "#b14a74")
    around = "".join(
        katori(
            CX + 74 * _cos(n, bowls, 205, 250),
            CY + 74 * _sin(n, bowls, 205, 250),
            21 if big else 23,
            fills[n],
        )
        for n in range(bowls)
    )
    rice = grains(rng, ("#ffffff", "#f3eee2"), 36, 90, CX + 4, CY + 24)
    papad = circle(118, 164, 29, "#efcf8b") + seeds(rng, "#b98a3c", 14, 22, 118, 164)
    return (
        shadow(CX + 2, CY + 8, 110, 104) + metal + ellipse(CX + 4, CY + 25, 42, 36, "#efe9dc") + rice + around
        + papad + (ellipse(206, 168, 27, 22, "#e0a85a", 12) + ellipse(204, 164, 20, 14, "#eec27e", 12))
        + leaf(CX + 4, CY + 18, 8, 30)
    )  # fmt: skip


def _cos(n: int, count: int, start: float, sweep: float) -> float:
    return _at(n, count, start, sweep).real


def _sin(n: int, count: int, start: float, sweep: float) -> float:
    return _at(n, count, start, sweep).imag


def _at(n: int, count: int, start: float, sweep: float) -> complex:
    return cmath.exp(1j * math.radians(start + sweep * n / max(1, count - 1) - 10))


def _rice_bowl(
    rng: random.Random, base: str, colours: tuple[str, ...], toppings: str, outside: str = "#8c4a22"
) -> str:
    return (
        bowl(base, outside, "#a9602f" if outside == "#8c4a22" else "#3d3a3c")
        + grains(rng, colours, 70, 190)
        + toppings
    )


def _biryani(rng: random.Random) -> str:
    meat = "".join(
        blob(rng, x, y, r, "#9a4a20", 0.16) + blob(rng, x - 2, y - 3, r * 0.72, "#b9622d", 0.16)
        for x, y, r in ((134, 104, 22), (190, 110, 20), (158, 150, 21))
    )
    onions = scatter(
        rng, 12, lambda x, y: path(f"M{x:.0f} {y:.0f}q6 -6 12 0", stroke="#7a3f14", width=2.6), 58
    )
    return (
        _rice_bowl(
            rng,
            "#e9b44c",
            ("#fff6da", "#f5c14f", "#e98f2b", "#fffaf0"),
            meat + onions + herbs(rng, 9, 56),
        )
        + katori(264, 62, 24, "#f4f1e6")
        + katori(58, 184, 24, "#9c4d22")
    )


def _curd_rice(rng: random.Random) -> str:
    ruby = scatter(rng, 17, lambda x, y: ellipse(x, y, 4, 3.2, "#b51f3a", rng.uniform(0, 90)), 52)
    return (
        bowl("#fbf8ee", "#3b6a5b", "#4f8673") + grains(rng, ("#ffffff", "#efe9da"), 68, 110) + ruby
        + herbs(rng, 7, 50, "#2f6e3d", 8) + seeds(rng, "#3b2a1a", 18, 55)
    )  # fmt: skip


def _bisi(rng: random.Random) -> str:
    veg = scatter(
        rng,
        16,
        lambda x, y: box(
            x, y, 9, 9, 2, rng.choice(("#e8832b", "#6fa345", "#d8b13a")), rng.uniform(0, 90)
        ),
        55,
    )
    boondi = scatter(rng, 16, lambda x, y: circle(x, y, 3.6, "#f4c04e"), 34)
    return _rice_bowl(
        rng, "#c8742a", ("#e8a24e", "#d98b36", "#f0b864"), veg + boondi + herbs(rng, 6, 48)
    )


def _pepper_chicken(rng: random.Random) -> str:
    pieces = scatter(
        rng, 13,
        lambda x, y: blob(rng, x, y, 15, "#5a2c14", 0.2) + blob(rng, x - 2, y - 3, 10, "#7e4320", 0.2), 56,
    )  # fmt: skip
    return (
        bowl("#6b3517", "#22201e", "#3b3733") + pieces + seeds(rng, "#17100c", 50, 66)
        + herbs(rng, 9, 58, "#2f6e3d", 8) + lemon(222, 178, 20)
    )  # fmt: skip


def _coffee(_: random.Random) -> str:
    def cup(x: float, y: float, w: float, h: float) -> str:
        return (
            path(f"M{x - w} {y}L{x - w * 0.8} {y + h}H{x + w * 0.8}L{x + w} {y}Z", "#c9953f")
            + path(
                f"M{x - w * 0.75} {y + 8}L{x - w * 0.6} {y + h - 8}",
                stroke="#fbe7b0",
                width=6,
                opacity=0.7,
            )
            + ellipse(x, y, w, w * 0.24, "#e2b664")
        )

    steam = "".join(
        path(f"M{x} 66q-9 -14 0 -26t0 -24", stroke="#fff", width=4, opacity=0.55)
        for x in (142, 166)
    )
    return (
        shadow(160, 204, 92, 16) + cup(160, 152, 74, 46) + ellipse(160, 153, 66, 14, "#8a5a24")
        + cup(154, 84, 42, 92) + ellipse(154, 84, 36, 8, "#5b3418") + ellipse(152, 83, 30, 5.5, "#d9b58a") + steam
    )  # fmt: skip


def _sweet(rng: random.Random, top: str, side: str, count: int, garnish: str) -> str:
    def cube(x: float, y: float) -> str:
        return (
            path(f"M{x} {y}l44 -20 42 16 -44 22Z", top) + path(f"M{x} {y}v32l42 18v-32Z", side)
            + path(f"M{x + 42} {y + 18}v32l44 -22v-32Z", side, opacity=0.8)
            + seeds(rng, garnish, 9, 16, x + 43, y - 1)
        )  # fmt: skip

    spots = ((92, 96), (146, 122), (118, 60), (84, 138))[:count]
    return plate(102) + "".join(cube(x, y) for x, y in sorted(spots, key=lambda spot: spot[1]))


def _ramen(rng: random.Random, broth: str, more: str) -> str:
    pork = "".join(
        circle(x, y, 23, "#b98263")
        + circle(x, y, 20, "#e2b294")
        + path(f"M{x - 11} {y}a11 11 0 1 1 11 11a7 7 0 1 1 -5 -10", stroke="#b5765a", width=4)
        for x, y in ((122, 98), (140, 84))
    )
    nori = box(196, 58, 30, 52, 2, "#1f3327", 14)
    return (
        bowl(broth, "#a8322a", "#c9483c") + noodles(rng, "#f3d58c", 62) + noodles(rng, "#e8c26d", 52, 10, 3)
        + nori + pork + egg(186, 146, 23) + more
        + scatter(rng, 13, lambda x, y: circle(x, y, 4, "none", 'stroke="#5fa04e" stroke-width="2.4"'), 26, 128, 152)
    )  # fmt: skip


def _soba(rng: random.Random, noodle: str, topping: str) -> str:
    return (
        bowl("#8a5a2c", "#23405c", "#35608a") + noodles(rng, noodle, 62, 30, 4.5) + topping
        + scatter(rng, 10, lambda x, y: circle(x, y, 3.6, "none", 'stroke="#5fa04e" stroke-width="2.2"'), 22, 196, 148)
    )  # fmt: skip


def _lacquer(inside: str, content: str) -> str:
    return (
        shadow(162, 132, 128, 88) + box(40, 40, 240, 160, 12, "#1c1414") + box(45, 45, 230, 150, 9, "#8f1f1b")
        + box(56, 56, 208, 128, 5, inside) + content
    )  # fmt: skip


def _unaju(rng: random.Random) -> str:
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
    return _lacquer("#f6f1e4", f'<svg x="56" y="56" width="208" height="128" viewBox="56 56 208 128">{rice}</svg>' + eel
                    + leaf(252, 176, 9, -30))  # fmt: skip


def _sushi(_: random.Random) -> str:
    def piece(x: float, y: float) -> str:
        return (
            box(x, y + 6, 34, 62, 7, "#e9e2d2") + box(x, y, 34, 60, 7, "#fffdf6") + box(x + 1, y, 32, 40, 6, "#7f97a6")
            + box(x + 1, y, 32, 16, 6, "#3f5a6b")
            + path(f"M{x + 5} {y + 24}q12 6 24 0", stroke="#dfe8ee", width=2.6)
        )  # fmt: skip

    board = (
        shadow(162, 150, 126, 62)
        + box(36, 66, 248, 120, 8, "#b98450")
        + box(36, 66, 248, 110, 8, "#d3a26c")
    )
    return (
        board + "".join(piece(52 + n * 38, 82) for n in range(5)) + blob(random.Random(3), 262, 104, 12, "#9cc35a")  # noqa: S311
        + path("M246 150q16 -18 30 0q-14 14 -30 0Z", "#f2b8b0")
    )  # fmt: skip


def _tofu(rng: random.Random) -> str:
    def cube(x: float, y: float) -> str:
        return (
            path(f"M{x} {y}l36 -14 34 13 -36 16Z", "#f3d9a4") + path(f"M{x} {y}v26l34 15v-26Z", "#d9ae6a")
            + path(f"M{x + 34} {y + 15}v26l36 -16v-26Z", "#c9974f")
        )  # fmt: skip

    return (
        bowl("#7a4a20", "#2c3f3a", "#40584f") + cube(98, 96) + cube(152, 112) + cube(122, 136)
        + blob(rng, 166, 94, 15, "#fbf7ee", 0.2) + seeds(rng, GREEN, 14, 40) + leaf(176, 86, 8, -40)
    )  # fmt: skip


def _pickles(rng: random.Random) -> str:
    def heap(x: float, y: float, fill: str, rim: str) -> str:
        return scatter(
            rng, 11, lambda a, b: circle(a, b, 11, rim) + circle(a, b, 8.5, fill), 26, x, y
        )  # fmt: skip

    return (
        plate(100, "#2f3a44", "#3d4b57", "#232c34") + heap(122, 96, "#f2c84b", "#dca92c")
        + heap(196, 108, "#c96a9c", "#a8487c") + heap(152, 156, "#9cc070", "#5f8f46")
    )  # fmt: skip


def _omelette(_: random.Random) -> str:
    def slab(x: float) -> str:
        return (
            box(x, 76, 40, 92, 10, "#d79f2e") + box(x, 72, 40, 90, 10, "#f6cf5c")
            + path(f"M{x + 10} 104q10 -14 20 0t-4 26q-14 2 -12 -12", stroke="#dca63a", width=3)
        )  # fmt: skip

    return (
        shadow(160, 176, 128, 18) + box(36, 58, 248, 124, 10, "#26404a") + box(42, 62, 236, 112, 8, "#33545f")
        + "".join(slab(64 + n * 46) for n in range(4)) + blob(random.Random(5), 262, 150, 13, "#fbf7ee")  # noqa: S311
        + leaf(256, 84, 12, 60)
    )  # fmt: skip


def _mochi(rng: random.Random) -> str:
    pieces = scatter(
        rng, 9,
        lambda x, y: blob(rng, x, y + 3, 17, "#a87a3c", 0.1) + blob(rng, x, y, 17, "#d7ad68", 0.1), 48,
    )  # fmt: skip
    syrup = path("M112 92Q150 120 140 150T190 168", stroke="#3a1e10", width=6, opacity=0.85)
    return (
        plate(94, "#d9e3dd", "#c3d2ca", "#a9bcb2") + pieces + seeds(rng, "#ecd29a", 60, 66) + syrup
    )


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


def _sandwich(_: random.Random) -> str:
    return (
        shadow(160, 206, 104, 13) + box(70, 168, 180, 32, 14, "#d08a40") + frill(160, 160, 176, "#e9dfe6", 10, 9)
        + path("M74 156q12 -34 44 -24q24 -22 52 -4q30 -14 46 8q22 4 26 22q-84 16 -168 -2Z", "#c9832f")
        + path("M92 146q10 -12 24 -8M150 138q14 -8 26 2M202 146q10 -4 18 4", stroke="#eebd6e", width=5, opacity=0.8)
        + path("M84 132q40 16 92 2t68 -2", stroke="#d9761e", width=7) + bun(160, 124, 176, "#dd9444")
    )  # fmt: skip


def _fries(rng: random.Random) -> str:
    sticks = "".join(
        box(96 + n * 9.4, 40 + rng.uniform(0, 34), 11, 120, 3, rng.choice(("#f3c44d", "#e9b338", "#f8d675")),
            rng.uniform(-9, 9))
        for n in range(14)
    )  # fmt: skip
    return (
        shadow(160, 212, 76, 11) + sticks + path("M88 116Q160 140 232 116L216 210H104Z", "#c9322b")
        + path("M96 124Q160 146 224 124L221 142Q160 164 99 142Z", "#fff", opacity=0.92)
    )  # fmt: skip


def _rings(rng: random.Random) -> str:
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


def _salad(rng: random.Random, greens: tuple[str, ...], more: str) -> str:
    leaves = scatter(
        rng,
        44,
        lambda x, y: leaf(x, y, rng.uniform(13, 20), rng.uniform(0, 360), rng.choice(greens)),
        66,
    )
    return bowl("#dfe8cf", "#f7f3ea", "#e8e1d2") + leaves + more


def _cobb(rng: random.Random) -> str:
    rows = "".join(
        scatter(rng, 9, lambda x, y, f=fill: box(x - 6, y - 5, 12, 10, 3, f, rng.uniform(0, 90)), 30, 108 + n * 35, 120, 1.6)
        for n, fill in enumerate(("#f0dcb4", "#b8483a", "#9cc56a", "#dfe6f0"))
    )  # fmt: skip
    return _salad(
        rng,
        ("#7fb356", "#5f9a45", "#a3cc78"),
        rows + egg(142, 78, 17, "#f3b73b") + egg(188, 164, 17, "#f3b73b"),
    )


def _caesar(rng: random.Random) -> str:
    bread = scatter(
        rng, 12, lambda x, y: box(x - 8, y - 8, 16, 16, 4, "#d9a14e", rng.uniform(0, 90)), 56
    )
    cheese = scatter(rng, 15, lambda x, y: path(f"M{x:.0f} {y:.0f}l14 4 -8 7Z", "#fff6da"), 58)
    return _salad(rng, ("#3f7a45", "#2f6537", "#5b9458"), bread + cheese)


def _soup(rng: random.Random, fill: str, swirl: str, more: str) -> str:
    spiral = path(
        "M160 120q14 -12 22 4t-20 26t-44 -12t4 -50t66 -4t22 62", stroke=swirl, width=5, opacity=0.85
    )
    return bowl(fill, "#e9e1d2", "#fbf7ee") + spiral + herbs(rng, 5, 36) + more


def _mac(rng: random.Random) -> str:
    pasta = scatter(
        rng, 62,
        lambda x, y: path(f"M{x - 7:.0f} {y:.0f}q7 -11 14 0", stroke=rng.choice(("#f3b43a", "#f8c95f", "#e9a227")), width=6.5),
        66,
    )  # fmt: skip
    return (
        bowl("#e39a1f", "#2f4a63", "#3f6488")
        + pasta
        + seeds(rng, "#a8641f", 60, 62)
        + herbs(rng, 6, 46)
    )


def _pie(_: random.Random) -> str:
    return (
        plate(102) + path("M78 150L236 92L226 160L100 190Z", "#c99a52") + path("M78 132L236 76V132L96 176Z", "#f2ecb0")
        + path("M78 132L236 76L224 60Q150 56 74 116Z", "#fbf8dd")
        + "".join(circle(x, y, r, "#ffffff") for x, y, r in ((196, 66, 17), (216, 74, 14), (178, 74, 13)))
        + lemon(196, 60, 14, "#7fb33e", "#dcecae")
    )  # fmt: skip


def _shake(_: random.Random) -> str:
    foam = (
        circle(140, 74, 22, "#fffdf6")
        + circle(178, 74, 22, "#fffdf6")
        + circle(159, 58, 23, "#ffffff")
        + circle(164, 36, 9, HOT)
    )
    return glass("#f6e7c4", "#fbf1d8", foam=foam)


def _lemonade(rng: random.Random) -> str:
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


def _dip(rng: random.Random) -> str:
    return shadow(162, 130, 66, 62) + circle(CX, CY, 62, "#e9e1d2") + circle(CX, CY, 58, "#fffdf8") + circle(CX, CY, 47, "#d9622b") + path(
        "M136 112q24 -22 48 0t-10 34t-40 -8", stroke="#f2955e", width=7) + herbs(rng, 5, 32)  # fmt: skip


def _mansaf(rng: random.Random) -> str:
    meat = "".join(
        blob(rng, x, y, 23, "#6b3a1f", 0.18) + blob(rng, x - 2, y - 4, 16, "#8f5530", 0.18)
        for x, y in ((134, 104), (184, 100), (162, 142))
    )
    almonds = scatter(
        rng, 15, lambda x, y: ellipse(x, y, 6, 3.4, "#e2b06a", rng.uniform(0, 180)), 60
    )
    return (
        plate(108, "#c9a24a", "#f7efd8", "#a8822f") + ellipse(CX, CY, 78, 74, "#f6eccf")
        + grains(rng, ("#fffaf0", "#f3e0ac", "#fff3cf"), 72, 170) + meat + almonds + herbs(rng, 12, 62) + katori(262, 186, 26, CREAM)
    )  # fmt: skip


def _maqluba(rng: random.Random) -> str:
    slices = "".join(
        circle(CX + 40 * _cos(n, 7, 0, 309), CY + 40 * _sin(n, 7, 0, 309), 20, "#4a2747")
        + circle(CX + 40 * _cos(n, 7, 0, 309), CY + 40 * _sin(n, 7, 0, 309), 16, "#b98a5a")
        for n in range(7)
    )
    return (
        plate(106) + circle(CX, CY + 4, 74, "#b5792c") + circle(CX, CY, 73, "#e3ae4e")
        + grains(rng, ("#f8dd9c", "#eec271", "#fff0c4"), 68, 130) + slices + blob(rng, CX, CY, 18, "#b9622d", 0.15)
        + seeds(rng, "#f6e3b4", 26, 64) + herbs(rng, 10, 64)
    )  # fmt: skip


def _rolls(rng: random.Random) -> str:
    def roll(x: float, y: float, turn: float) -> str:
        inner = (
            box(-58, -20, 116, 42, 20, "#b98445") + box(-58, -22, 116, 40, 20, "#e2b878")
            + "".join(ellipse(-38 + n * 19, -6 + (n % 2) * 9, 6, 3, "#c08a48") for n in range(5))
            + ellipse(57, -1, 9, 18, "#7a3b5a") + ellipse(57, -1, 5, 12, "#b9622d")
        )  # fmt: skip
        return f'<g transform="translate({x} {y}) rotate({turn})">{inner}</g>'

    return (
        plate(106)
        + roll(144, 80, -12)
        + roll(152, 124, -8)
        + roll(146, 168, -4)
        + seeds(rng, "#8a2340", 30, 70)
        + herbs(rng, 5, 70)
    )


def _falafel(rng: random.Random) -> str:
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


def _dip_bowl(rng: random.Random, fill: str, light: str, more: str) -> str:
    swirl = path(
        "M108 112q10 -44 60 -40t50 54t-60 44t-38 -54t40 -26t24 36t-30 12",
        stroke=light,
        width=11,
        opacity=0.9,
    )
    oil = path("M132 104q34 -22 56 8t-26 40", stroke="#b8a02a", width=6, opacity=0.8)
    return bowl(fill, "#27516b", "#3a7394") + swirl + oil + more + herbs(rng, 4, 60)


def _hummus(rng: random.Random) -> str:
    peas = scatter(
        rng, 9, lambda x, y: circle(x, y, 6, "#d9a94f") + circle(x - 1.5, y - 2, 3, "#f0cd86"), 18
    )
    return _dip_bowl(rng, "#e5cf9f", "#f3e3bd", peas + seeds(rng, "#b5402a", 26, 60))


def _moutabal(rng: random.Random) -> str:
    ruby = scatter(rng, 15, lambda x, y: ellipse(x, y, 4.4, 3.6, "#b51f3a", rng.uniform(0, 90)), 54)
    return _dip_bowl(rng, "#cbbfa4", "#e0d7c1", ruby)


def _fattoush(rng: random.Random) -> str:
    bits = scatter(
        rng, 26,
        lambda x, y: rng.choice((
            circle(x, y, 9, "#d8402f") + circle(x, y, 5, "#f0705a"), circle(x, y, 9, "#6fae5a") + circle(x, y, 7, "#dcefc4"),
            path(f"M{x - 9:.0f} {y:.0f}l10 -10 9 14Z", "#d9a14e"), circle(x, y, 7, "#f6e9f2", 'stroke="#c34a86" stroke-width="3"'),
        )), 62,
    )  # fmt: skip
    return _salad(rng, ("#6fae4a", "#8cc265", "#4f9440"), bits + seeds(rng, "#8a2340", 30, 62))


def _tawook(rng: random.Random) -> str:
    colours = ("#d9902f", "#c97a24", "#d84a2f", "#dd9a3c", "#6fae4a")
    return (
        plate(110) + "".join(skewer(150, y, -9, colours) for y in (84, 122, 160)) + katori(226, 176, 27, CREAM) + herbs(rng, 6, 70)
        + lemon(86, 172, 19)
    )  # fmt: skip


def _kofta(rng: random.Random) -> str:
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


def _knafeh(rng: random.Random) -> str:
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


DISHES: Final[dict[str, Draw]] = {
    "masala-dosa": _masala_dosa, "ghee-roast-dosa": _ghee_roast, "idli-plate": _idli, "medu-vada": _vada,
    "bisi-bele-bath": _bisi, "curd-rice": _curd_rice,
    "andhra-meals": lambda rng: _thali(rng, 5, big=False), "family-thali": lambda rng: _thali(rng, 8, big=True),
    "chicken-biryani": _biryani, "pepper-chicken": _pepper_chicken, "filter-coffee": _coffee,
    "mysore-pak": lambda rng: _sweet(rng, "#f0c14f", "#d99a2b", 2, "#b9771c"),
    "shoyu-ramen": lambda rng: _ramen(rng, "#a8622a", ""),
    "miso-ramen": lambda rng: _ramen(
        rng, "#d79a4a",
        scatter(rng, 24, lambda x, y: ellipse(x, y, 3.8, 3, "#f6cf3e"), 24, 126, 158) + box(168, 108, 22, 20, 4, "#fbe9a6", 12),
    ),
    "yuba-don": lambda rng: _rice_bowl(
        rng, "#fffaf0", ("#ffffff", "#f1ebdd"),
        "".join(
            path(f"M{x} {y}q18 -40 44 -20t32 -12q12 30 -18 40t-58 -8Z", f) + path(
                f"M{x + 8} {y - 4}q20 -22 36 -10t26 -8", stroke="#d8b056", width=2.5)
            for x, y, f in ((100, 112, "#efcf86"), (134, 146, "#f3d893"), (118, 176, "#eac777"))
        ) + seeds(rng, "#3b2a1a", 12, 40) + leaf(196, 104, 11, -30) + leaf(204, 116, 9, 10), "#1d1b1c",
    ),
    "oyakodon": lambda rng: _rice_bowl(
        rng, "#fffaf0", ("#ffffff", "#f1ebdd"),
        blob(rng, CX, CY, 56, "#f3c23c", 0.1) + blob(rng, CX + 6, CY - 4, 40, "#fbe28a", 0.2)
        + scatter(rng, 7, lambda x, y: blob(rng, x, y, 11, "#c98a4c", 0.2), 36) + herbs(rng, 6, 36), "#1d1b1c",
    ),
    "unaju": _unaju, "saba-zushi": _sushi,
    "nishin-soba": lambda rng: _soba(
        rng, "#9c8468", box(112, 92, 104, 32, 14, "#4f3220", -16) + path("M126 118L208 92", stroke="#b98a5a", width=4, opacity=0.7)
    ),
    "kitsune-udon": lambda rng: _soba(
        rng, "#f6ecd2", path("M108 130L146 72L206 100L168 156Z", "#b9742a") + path("M112 127L147 77L198 101L166 149Z", "#d9983f")
    ),
    "agedashi-tofu": _tofu, "tsukemono": _pickles, "dashimaki": _omelette, "warabi-mochi": _mochi,
    "smash-burger": lambda _: _burger(("#5a2c17", "#66351c"), ""),
    "veggie-burger": lambda _: _burger(("#3d2a24",), path("M92 {y}h136v8H92Z", "#9cc35a") + path("M84 {y}h152v-6H84Z", "#c8402a")),
    "buttermilk-chicken": _sandwich, "mac-and-cheese": _mac, "cobb-salad": _cobb, "kale-caesar": _caesar, "fries": _fries,
    "onion-rings": _rings,
    "tomato-soup": lambda rng: _soup(rng, "#d0431f", "#f6d9b4", box(214, 150, 40, 70, 8, "#b9772c", 38) + box(216, 152, 32, 62, 6, "#e9b45c", 38)),
    "key-lime-pie": _pie, "vanilla-shake": _shake, "dipping-sauce": _dip,
    "mansaf": _mansaf, "maqluba": _maqluba, "musakhan": _rolls, "falafel-plate": _falafel, "hummus": _hummus, "moutabal": _moutabal,
    "fattoush": _fattoush, "shish-tawook": _tawook, "kofta": _kofta,
    "lentil-soup": lambda rng: _soup(rng, "#dfa02f", "#f3cf7e", seeds(rng, "#b5402a", 22, 56) + lemon(226, 172, 22)),
    "knafeh": _knafeh, "mint-lemonade": _lemonade,
}  # fmt: skip
"""Dish -> its drawing."""
