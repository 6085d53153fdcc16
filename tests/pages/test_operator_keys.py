"""What operators do by key, ids that are copied whole, and colours that a reader has chosen."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.pages.in_memory_site import InMemorySite
from tests.pages.visitor import check_accessible, check_fits
from web.http.tokens import Role


@pytest.fixture(scope="module")
def site(browser: Browser) -> Iterator[InMemorySite]:
    with InMemorySite(browser) as running:
        yield running


@pytest.mark.parametrize("width", [360, 1440])
def test_the_keys_are_listed_and_lead_to_pages(site: InMemorySite, width: int) -> None:
    page = site.visit(Role.OPERATOR, viewport={"width": width, "height": 800})
    page.goto("/ops/orders")
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(keys).to_be_visible()
    check_accessible(page)
    check_fits(page)
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("gs?")
    expect(page.locator("#q")).to_have_value("gs?")
    page.locator("#q").blur()
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page).to_have_url(re.compile("/ops/stuck$"))


def test_an_id_is_copied_whole(site: InMemorySite) -> None:
    order = site.run(site.api.paid())
    page = site.visit(Role.OPERATOR)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/ops/orders/{order['orderId']}")
    copy = page.get_by_role("button", name=f"Copy {order['orderId']}")
    copy.click()
    expect(copy).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == order["orderId"]
    event = page.locator("td[data-copy][title]").first
    event.get_by_role("button").click()
    whole = event.get_attribute("title")
    page.wait_for_function("async id => await navigator.clipboard.readText() === id", arg=whole)


@pytest.mark.parametrize("system", ["light", "dark"])
def test_light_and_dark_are_the_systems_until_a_reader_chooses(
    site: InMemorySite, system: str
) -> None:
    page = site.visit(color_scheme=system)
    page.goto("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    of_system = page.evaluate(ground)
    other = "Light" if system == "dark" else "Dark"
    page.get_by_role("button", name=other, exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-theme", other.lower())
    assert page.evaluate(ground) != of_system
    check_accessible(page)
    page.get_by_role("button", name="Automatic").click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", re.compile("."))
    assert page.evaluate(ground) == of_system


def test_a_ticket_on_paper_is_that_one_alone(site: InMemorySite) -> None:
    for _ in range(2):
        site.run(site.api.paid())
    page = site.visit(Role.KITCHEN)
    page.add_init_script(
        "window.print = () => { window.paper = [...document.querySelectorAll('[data-ticket]')]"
        ".filter((each) => each.classList.contains('printed')).length; }"
    )
    page.goto("/kitchen")
    page.get_by_role("button", name="Print the ticket").first.click()
    assert page.evaluate("window.paper") == 1
    assert page.locator(".printed").count() == 0, "afterwards the board is a board"
    page.emulate_media(media="print")
    expect(page.locator("[data-print]").first).to_be_hidden()
