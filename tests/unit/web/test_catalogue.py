"""A wrong catalogue is refused at the start, by file and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from web.catalogue import CatalogueError, load_catalogue

GOOD = """
id = "good-food"
name = "Good food"
cuisine = "Plain"
city = "Pune"
currency = "INR"
dishes = [
  { id = "soup", name = "Soup", price = 5000 },
  { id = "bread", name = "Bread", price = 1000 },
]
"""


def test_the_sandboxs_catalogue_is_sound() -> None:
    catalogue = load_catalogue()
    assert len(catalogue.restaurants) >= 4
    assert catalogue.etag == load_catalogue().etag


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("price = 5000", "price = -1", "dishes[0].price: Input should be greater than 0 (it is -1)"),
        ("price = 5000", "price = 0", "dishes[0].price"),
        ("price = 5000", "price = 50.0", "dishes[0].price"),
        ("price = 5000", 'price = "50.00"', "dishes[0].price"),
        ("price = 5000", "price = 100_000_000", "dishes[0].price"),
        ("price = 5000", "cost = 5000", "dishes[0].cost"),
        ('currency = "INR"', 'currency = "XXX"', "currency: XXX is none that Stripe settles"),
        ('currency = "INR"', 'currency = "inr"', "currency"),
        ('currency = "INR"', "", "currency: Field required"),
        ('id = "bread"', 'id = "soup"', "dishes: the id soup is there 2 times"),
        ('id = "good-food"', 'id = "Good Food"', "id"),
        ("dishes = [", "dishes = [] #[", "not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "good.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(CatalogueError) as raised:
        load_catalogue(tmp_path)
    assert f"good.toml: {said}" in str(raised.value)


def test_dinars_whose_fils_stripe_does_not_take(tmp_path: Path) -> None:
    text = GOOD.replace("INR", "KWD").replace("price = 1000", "price = 1005")
    (tmp_path / "good.toml").write_text(text)
    with pytest.raises(CatalogueError, match="price of bread must end in 0"):
        load_catalogue(tmp_path)


def test_all_files_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD)
    (tmp_path / "b.toml").write_text(GOOD)
    (tmp_path / "c.toml").write_text("id = ")
    with pytest.raises(CatalogueError) as raised:
        load_catalogue(tmp_path)
    assert "b.toml: id: good-food is another restaurant's" in str(raised.value)
    assert "c.toml: not TOML" in str(raised.value)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"no \*\.toml"):
        load_catalogue(tmp_path)
