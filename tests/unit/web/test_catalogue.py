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
        ("price = 5000", "price = 1_000_000_000_000", "dishes[0].price"),
        ("price = 5000", "price = 1_000_000_000", "dishes: the price of soup is 1000000000 (10000000.00 INR)"),
        ("price = 5000", "cost = 5000", "dishes[0].cost"),
        ('currency = "INR"', 'currency = "XXX"', "currency: XXX is none that Stripe charges"),
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


@pytest.mark.parametrize(
    ("currency", "price", "said"),
    [
        ("KWD", 5124, "the price of bread is 5124 (5.124 KWD); accepted: multiples of 10, as Stripe"),
        ("ISK", 1050, "the price of bread is 1050 (10.50 ISK); accepted: multiples of 100, as Stripe"),
        ("UGX", 25_050, "the price of bread is 25050 (250.50 UGX); accepted: multiples of 100"),
        ("UGX", 150_000_000, "the price of bread is 150000000 (1500000 UGX); accepted: up to 99999900"),
        ("JPY", 100_000_000, "the price of bread is 100000000 (100000000 JPY); accepted: up to 99999999"),
    ],
)  # fmt: skip
def test_a_price_that_stripe_does_not_charge_is_named_with_its_dish_and_step(
    tmp_path: Path, currency: str, price: int, said: str
) -> None:
    text = GOOD.replace("INR", currency).replace("price = 1000", f"price = {price}")
    (tmp_path / "good.toml").write_text(text)
    with pytest.raises(CatalogueError) as raised:
        load_catalogue(tmp_path)
    assert f"good.toml: dishes: {said}" in str(raised.value)


def test_the_step_is_told_in_units_that_people_write(tmp_path: Path) -> None:
    text = GOOD.replace("INR", "KWD").replace("price = 1000", "price = 5124")
    (tmp_path / "good.toml").write_text(text)
    with pytest.raises(CatalogueError, match=r"Stripe charges KWD in steps of 0.010"):
        load_catalogue(tmp_path)


def test_all_uneven_prices_of_a_menu_are_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("INR", "ISK").replace("price = 1000", "price = 1050")
    (tmp_path / "good.toml").write_text(text.replace("price = 5000", "price = 5001"))
    with pytest.raises(
        CatalogueError, match=r"the price of soup is 5001 \(50.01 ISK\), the price of bread is 1050"
    ):
        load_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("currency", "price"),
    [
        ("UGX", 2_500_000),
        ("ISK", 100_000),
        ("KWD", 5120),
        ("HUF", 17_501),
        ("TWD", 80_045),
        ("KRW", 9),
    ],
)
def test_prices_that_stripe_charges(tmp_path: Path, currency: str, price: int) -> None:
    text = GOOD.replace("INR", currency).replace("price = 1000", f"price = {price}")
    (tmp_path / "good.toml").write_text(text)
    assert load_catalogue(tmp_path).restaurants["good-food"].by_id["bread"].price == price


def test_the_operators_minimum_goes_before_stripes(tmp_path: Path) -> None:
    (tmp_path / "won.toml").write_text(GOOD.replace("INR", "KRW"))
    (tmp_path / "dong.toml").write_text(GOOD.replace("INR", "VND").replace("good-food", "dong"))
    catalogue = load_catalogue(tmp_path)
    assert [catalogue.minimum_charge(code) for code in ("KRW", "VND")] == [50, 1]
    catalogue = load_catalogue(tmp_path, {"KRW": 700, "VND": 13_000})
    assert [catalogue.minimum_charge(code) for code in ("KRW", "VND")] == [700, 13_000]


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
