"""Static files: pictures of dishes and vendored libraries."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from web.catalogue import load_catalogue
from web.pages.assets import FOLDER, Assets

CATALOGUE = load_catalogue()


def test_every_dish_has_a_picture_and_pictures_hold_shapes_alone() -> None:
    assets = Assets()
    for place in CATALOGUE.restaurants.values():
        assert f"dishes/cuisine-{place.cuisine.lower().replace(' ', '-')}.svg" in assets.by_name
        for dish in place.dishes:
            assert f"/dishes/{dish.id}.svg?v=" in assets.dish_picture(dish.id, place.cuisine)
    shapes = "svg defs radialGradient stop g rect circle ellipse path"
    for name, asset in assets.by_name.items():
        if not name.startswith("dishes/"):
            continue
        for element in ET.fromstring(asset.content).iter():
            assert element.tag.rpartition("}")[2] in shapes.split(), name
            assert not [key for key in element.attrib if key == "style" or key.startswith("on")], (
                name
            )
            assert "href" not in " ".join(element.attrib), name


def test_a_dish_without_a_picture_gets_its_cuisines_or_a_plain_plate() -> None:
    assets = Assets()
    assert "cuisine-south-indian.svg" in assets.dish_picture("dish-of-tomorrow", "South Indian")
    assert "cuisine-plain.svg" in assets.dish_picture("dish-of-tomorrow", "Martian")


def test_vendored_files_are_what_they_are_said_to_be() -> None:
    assets = Assets()
    text = (FOLDER / "VENDORED.md").read_text()
    listed = dict(re.findall(r"^\| (vendor/\S+) \|.*`(sha384-\S+)` \|$", text, re.MULTILINE))
    files = {name for name in assets.by_name if re.match(r"vendor/[^/]+$", name)}
    assert set(listed) == files
    for name, integrity in listed.items():
        assert assets.integrity(name) == integrity
    for licence in re.findall(r"\((vendor/licences/\S+)\)", text):
        assert licence in assets.by_name
