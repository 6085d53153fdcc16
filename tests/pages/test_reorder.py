"""An order placed again while the cart holds another restaurant's dishes, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.in_memory_site import InMemorySite
from tests.pages.visitor import check_accessible, check_fits


@pytest.fixture(scope="module")
def site(browser: Browser) -> Iterator[InMemorySite]:
    with InMemorySite(browser) as running:
        yield running


def asked(site: InMemorySite, *, javascript: bool) -> Page:
    """The page that asks, of a customer on a phone whose cart holds ramen."""
    order = site.run(site.api.paid())
    page = site.visit(viewport={"width": 360, "height": 740}, java_script_enabled=javascript)
    site.own(page, order)
    page.goto("/restaurants/hinode-kyoto")
    page.get_by_role("button", name="Add Shoyu ramen").click()
    page.get_by_role("button", name="Add one Shoyu ramen").wait_for()
    order_page = f"/orders/{order['orderId']}"
    body = {"reason": "CHANGED_MIND"}
    cancel = site.api.post(f"/api{order_page}/cancel", body, token=order["orderToken"])
    assert site.run(cancel)[0] in {200, 202}
    page.goto(order_page)
    page.get_by_role("button", name="Order again").click()
    expect(page.locator("h1")).to_have_text("Start a new cart?")
    return page


@pytest.mark.parametrize("javascript", [True, False])
def test_the_cart_is_kept(site: InMemorySite, javascript: bool) -> None:
    page = asked(site, javascript=javascript)
    if javascript:
        check_accessible(page)
        check_fits(page)
    expect(page.get_by_text("Your cart holds 1 dish from Hinode")).to_be_visible()
    page.get_by_role("link", name="Keep the one from").click()
    page.goto("/checkout")
    expect(page.locator(".cart-line")).to_have_count(1)
    expect(page.locator(".cart-line")).to_contain_text("Shoyu ramen")


@pytest.mark.parametrize("javascript", [True, False])
def test_the_cart_is_replaced(site: InMemorySite, javascript: bool) -> None:
    page = asked(site, javascript=javascript)
    page.get_by_role("button", name="Start a new cart").click()
    page.wait_for_url("**/checkout")
    expect(page.locator(".cart-line")).to_have_count(1)
    expect(page.locator(".cart-line")).to_contain_text("Family thali")
