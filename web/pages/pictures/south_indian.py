"""Pictures of South Indian dishes."""

from random import Random
from typing import Final

from web.pages.pictures.shapes import (
    CX,
    CY,
    Draw,
    around_x,
    around_y,
    banana_leaf,
    blob,
    bowl,
    box,
    circle,
    ellipse,
    grains,
    herbs,
    katori,
    leaf,
    lemon,
    path,
    plate,
    rice_bowl,
    scatter,
    seeds,
    shadow,
)

CHUTNEY: Final = "#e9efdc"
SAMBAR: Final = "#c8702a"


def _dosa(rng: Random, colour: str, *, rolled: bool) -> str:
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


def _masala_dosa(rng: Random) -> str:
    return (
        _dosa(rng, "#e0a043", rolled=True)
        + katori(88, 62, 26, SAMBAR)
        + katori(146, 48, 21, CHUTNEY)
        + katori(196, 44, 19, "#d85a36")
        + leaf(146, 48, 7, 30)
        + scatter(rng, 5, lambda x, y: circle(x, y, 2, "#f4d58a"), 14, 88, 62)
    )


def _ghee_roast(rng: Random) -> str:
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


def _idli(rng: Random) -> str:
    def cake(x: float, y: float) -> str:
        return (
            shadow(x + 2, y + 7, 37, 34)
            + circle(x, y, 36, "#f1ead8")
            + circle(x - 2, y - 3, 32, "#fffdf6")
            + scatter(rng, 12, lambda a, b: circle(a, b, 1.3, "#e7ddc6"), 25, x, y)
        )

    return (
        banana_leaf()
        + cake(116, 104)
        + cake(184, 94)
        + cake(152, 156)
        + katori(248, 130, 30, SAMBAR)
        + leaf(248, 128, 8, 20)
        + katori(68, 150, 21, CHUTNEY)
    )


def _vada(rng: Random) -> str:
    def ring(x: float, y: float) -> str:
        return (
            shadow(x + 2, y + 8, 46, 42)
            + blob(rng, x, y, 45, "#a8631f", 0.05)
            + blob(rng, x - 2, y - 3, 40, "#c98433", 0.06)
            + seeds(rng, "#8f4f17", 26, 34, x, y)
            + circle(x, y, 12, "#8f4f17")
            + circle(x, y + 1, 10, "#f3ece0")
        )

    return (
        plate(100)
        + ring(128, 104)
        + ring(186, 146)
        + katori(208, 78, 25, CHUTNEY)
        + herbs(rng, 3, 12)
    )


def _thali(rng: Random, bowls: int, *, big: bool) -> str:
    metal = (
        circle(CX, CY, 108, "#b9bec4")
        + circle(CX, CY, 104, "#e8ebee")
        + circle(CX, CY, 96, "#d9dde1")
    )
    fills = (SAMBAR, "#dca52c", "#5c8f3a", "#c8402a", "#f6f1e4", "#8a5a2b", "#e9b84c", "#b14a74")
    around = "".join(
        katori(
            around_x(n, bowls, 74, 195, 250),
            around_y(n, bowls, 74, 195, 250),
            21 if big else 23,
            fills[n],
        )
        for n in range(bowls)
    )
    rice = grains(rng, ("#ffffff", "#f3eee2"), 36, 90, CX + 4, CY + 24)
    papad = circle(118, 164, 29, "#efcf8b") + seeds(rng, "#b98a3c", 14, 22, 118, 164)
    return (
        shadow(CX + 2, CY + 8, 110, 104)
        + metal
        + ellipse(CX + 4, CY + 25, 42, 36, "#efe9dc")
        + rice
        + around
        + papad
        + (ellipse(206, 168, 27, 22, "#e0a85a", 12) + ellipse(204, 164, 20, 14, "#eec27e", 12))
        + leaf(CX + 4, CY + 18, 8, 30)
    )


def _biryani(rng: Random) -> str:
    meat = "".join(
        blob(rng, x, y, r, "#9a4a20", 0.16) + blob(rng, x - 2, y - 3, r * 0.72, "#b9622d", 0.16)
        for x, y, r in ((134, 104, 22), (190, 110, 20), (158, 150, 21))
    )
    onions = scatter(
        rng, 12, lambda x, y: path(f"M{x:.0f} {y:.0f}q6 -6 12 0", stroke="#7a3f14", width=2.6), 58
    )
    return (
        rice_bowl(
            rng,
            "#e9b44c",
            ("#fff6da", "#f5c14f", "#e98f2b", "#fffaf0"),
            meat + onions + herbs(rng, 9, 56),
        )
        + katori(264, 62, 24, "#f4f1e6")
        + katori(58, 184, 24, "#9c4d22")
    )


def _curd_rice(rng: Random) -> str:
    ruby = scatter(rng, 17, lambda x, y: ellipse(x, y, 4, 3.2, "#b51f3a", rng.uniform(0, 90)), 52)
    return (
        bowl("#fbf8ee", "#3b6a5b", "#4f8673")
        + grains(rng, ("#ffffff", "#efe9da"), 68, 110)
        + ruby
        + herbs(rng, 7, 50, "#2f6e3d", 8)
        + seeds(rng, "#3b2a1a", 18, 55)
    )


def _bisi(rng: Random) -> str:
    veg = scatter(
        rng,
        16,
        lambda x, y: box(
            x, y, 9, 9, 2, rng.choice(("#e8832b", "#6fa345", "#d8b13a")), rng.uniform(0, 90)
        ),
        55,
    )
    boondi = scatter(rng, 16, lambda x, y: circle(x, y, 3.6, "#f4c04e"), 34)
    return rice_bowl(
        rng, "#c8742a", ("#e8a24e", "#d98b36", "#f0b864"), veg + boondi + herbs(rng, 6, 48)
    )


def _pepper_chicken(rng: Random) -> str:
    pieces = scatter(
        rng,
        13,
        lambda x, y: (
            blob(rng, x, y, 15, "#5a2c14", 0.2) + blob(rng, x - 2, y - 3, 10, "#7e4320", 0.2)
        ),
        56,
    )
    return (
        bowl("#6b3517", "#22201e", "#3b3733")
        + pieces
        + seeds(rng, "#17100c", 50, 66)
        + herbs(rng, 9, 58, "#2f6e3d", 8)
        + lemon(222, 178, 20)
    )


def _coffee(_: Random) -> str:
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
        shadow(160, 204, 92, 16)
        + cup(160, 152, 74, 46)
        + ellipse(160, 153, 66, 14, "#8a5a24")
        + cup(154, 84, 42, 92)
        + ellipse(154, 84, 36, 8, "#5b3418")
        + ellipse(152, 83, 30, 5.5, "#d9b58a")
        + steam
    )


def _sweet(rng: Random, top: str, side: str, count: int, garnish: str) -> str:
    def cube(x: float, y: float) -> str:
        return (
            path(f"M{x} {y}l44 -20 42 16 -44 22Z", top)
            + path(f"M{x} {y}v32l42 18v-32Z", side)
            + path(f"M{x + 42} {y + 18}v32l44 -22v-32Z", side, opacity=0.8)
            + seeds(rng, garnish, 9, 16, x + 43, y - 1)
        )

    spots = ((92, 96), (146, 122), (118, 60), (84, 138))[:count]
    return plate(102) + "".join(cube(x, y) for x, y in sorted(spots, key=lambda spot: spot[1]))


DISHES: Final[dict[str, Draw]] = {
    "masala-dosa": _masala_dosa,
    "ghee-roast-dosa": _ghee_roast,
    "idli-plate": _idli,
    "medu-vada": _vada,
    "bisi-bele-bath": _bisi,
    "curd-rice": _curd_rice,
    "andhra-meals": lambda rng: _thali(rng, 5, big=False),
    "family-thali": lambda rng: _thali(rng, 8, big=True),
    "chicken-biryani": _biryani,
    "pepper-chicken": _pepper_chicken,
    "filter-coffee": _coffee,
    "mysore-pak": lambda rng: _sweet(rng, "#f0c14f", "#d99a2b", 2, "#b9771c"),
}
"""Dish -> its drawing."""
