"""Paying with a method that redirects: to the bank's page and back, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from sandbox.platform import Platform
from tests.pages.visitor import Visitor

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

MENU = """
id = "annapurna-bengaluru"
name = "Annapurna"
cuisine = "Indian"
city = "Antwerp"
currency = "EUR"
dishes = [
  { id = "masala-dosa", name = "Masala dosa", price = 1250 },
  { id = "filter-coffee", name = "Filter coffee", price = 350 },
]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A worker that sells for euros."""
    menus: Path = tmp_path_factory.mktemp("menus")
    (menus / "annapurna-bengaluru.toml").write_text(MENU)
    settings = {
        "TIFFIN_CATALOGUE_DIR": str(menus), "TIFFIN_PAYMENT_METHODS": "card,bancontact",
    }  # fmt: skip
    with Platform(tmp_path_factory.mktemp("shop"), workers=1, settings=settings) as running:
        yield running


@pytest.fixture
def customer(browser: Browser, shop: Platform) -> Iterator[Visitor]:
    visitor = Visitor(browser, shop)
    yield visitor
    visitor.leave()


def pay(customer: Visitor, outcome: str) -> None:
    """Choose Bancontact, and answer the bank."""
    page = customer.page
    page.get_by_label("Payment method").select_option("bancontact")
    page.get_by_label("Full name").fill("Asha Rao")
    page.get_by_role("button", name="Pay ").click()
    page.get_by_role("button", name=outcome).click()


def test_paid_at_the_banks_page_after_a_refusal_there(customer: Visitor) -> None:
    customer.fill_cart()
    order_id = customer.place()
    page = customer.page
    page.get_by_role("heading", name="How would you like to pay?").wait_for()
    options = page.get_by_label("Payment method").locator("option")
    expect(options).to_have_text(["Card (Stripe stand-in: test cards only)", "Bancontact"])
    pay(customer, "Fail test payment")
    customer.wait_tracking()
    # Until Stripe has told of the refusal the payment is under way, and its page asks for no method.
    page.get_by_role("link", name="Try another card").click()
    page.wait_for_url(f"**/orders/{order_id}/pay")
    pay(customer, "Authorize test payment")
    customer.wait_tracking()
    page.locator("[data-status=PENDING], .stepper").first.wait_for()
    assert "client_secret" not in page.url
