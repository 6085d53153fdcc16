"""Pictures of dishes, drawn from simple shapes: one file a cuisine, a drawing a dish."""

import functools
from random import Random
from typing import Final

from web.pages.pictures import american, japanese, levantine, south_indian
from web.pages.pictures.shapes import CX, CY, blob, herbs, path, plate

TABLES: Final = {
    "South Indian": ("#f6c667", "#e8973a"),
    "Japanese": ("#9fb8ad", "#5f8a84"),
    "American": ("#8fb4d9", "#4f7fae"),
    "Levantine": ("#d9a3a0", "#b3636b"),
}
"""Cuisine -> colours of the table."""
PLAIN: Final = ("#d8c7a8", "#b59a6d")
DISHES: Final = {
    **american.DISHES, **japanese.DISHES, **levantine.DISHES, **south_indian.DISHES
}  # fmt: skip


@functools.lru_cache(maxsize=512)
def picture(dish_id: str, cuisine: str) -> str:
    """A dish as SVG; one that nobody drew is a plate of something good on its cuisine's table."""
    rng = Random(dish_id)  # noqa: S311 - strews herbs
    light, dark = TABLES.get(cuisine, PLAIN)
    food = DISHES.get(dish_id, _something_good)(rng)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240" '
        'preserveAspectRatio="xMidYMid slice">'
        f'<defs><radialGradient id="t" cx=".4" cy=".3" r=".95"><stop stop-color="{light}"/>'
        f'<stop offset="1" stop-color="{dark}"/></radialGradient></defs>'
        f'<rect width="320" height="240" fill="url(#t)"/>{_cloth(rng, dark)}{food}</svg>'
    )


def _cloth(rng: Random, dark: str) -> str:
    """The table's weave, faint."""
    return "".join(
        path(f"M{x} -10L{x - 70} 250", stroke=dark, width=rng.choice((5, 9)), opacity=0.16)
        for x in range(10, 400, 44)
    )


def _something_good(rng: Random) -> str:
    return plate() + blob(rng, CX, CY, 48, "#e0a04b") + herbs(rng, 9, 44)
