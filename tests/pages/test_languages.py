"""Pages in English and in German, in a browser: its own language, the reader's choice, scripts, widths."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.contract.http.test_takings import takings_world
from tests.pages.in_memory_site import InMemorySite
from tests.pages.visitor import check_accessible, check_fits
from web.http.tokens import Role


@pytest.fixture(scope="module")
def site(browser: Browser) -> Iterator[InMemorySite]:
    with InMemorySite(browser, takings_world()) as running:
        yield running


@pytest.mark.parametrize("locale", ["en-GB", "de-AT", "fr-FR"])
def test_a_page_is_in_the_browsers_language(site: InMemorySite, locale: str) -> None:
    page, is_german = site.visit(locale=locale), locale.startswith("de")
    page.goto("/restaurants/annapurna-bengaluru")
    expect(page.locator("html")).to_have_attribute("lang", "de" if is_german else "en")
    expect(page.locator("#cart-title")).to_have_text("Ihr Warenkorb" if is_german else "Your cart")
    price = page.locator(".dish-price").first
    expect(price).to_contain_text("," if is_german else ".")


def test_a_reader_may_choose_another_and_it_stays(site: InMemorySite) -> None:
    page = site.visit(locale="en-GB")
    page.goto("/restaurants/annapurna-bengaluru?vegetarian=1")
    page.get_by_role("button", name="Deutsch").click()
    expect(page).to_have_url(site.home + "restaurants/annapurna-bengaluru?vegetarian=1")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.goto("/checkout")
    expect(page.locator("h1")).to_have_text("Kasse")
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1")).to_have_text("Checkout")


@pytest.mark.parametrize("width", [360, 1440])
def test_scripts_speak_it_too(site: InMemorySite, width: int) -> None:
    page = site.visit(Role.KITCHEN, locale="de-DE", viewport={"width": width, "height": 800})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.goto("/kitchen")
    expect(page.locator("[data-sound]")).to_have_text("Ton ist aus")
    expect(page.get_by_role("heading", level=2).first).to_contain_text("Neu")
    check_fits(page)
    check_accessible(page)
    assert faults == []


@pytest.mark.parametrize("path", ["/", "/restaurants/hinode-kyoto", "/checkout", "/login"])
def test_pages_for_everybody_fit_and_are_accessible_in_german(
    site: InMemorySite, path: str
) -> None:
    page = site.visit(locale="de-DE", viewport={"width": 360, "height": 800})
    page.goto(path)
    expect(page.locator("html")).to_have_attribute("lang", "de")
    check_fits(page)
    check_accessible(page)


def test_what_a_customer_orders_in_german_is_told_in_german(site: InMemorySite) -> None:
    order = site.run(site.api.order())
    page = site.visit(locale="de-DE")
    site.own(page, order)
    page.goto(f"/orders/{order['orderId']}")
    expect(page.locator("h1")).to_have_text("Ihre Bestellung wartet auf die Zahlung")
