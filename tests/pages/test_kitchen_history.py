"""A kitchen's history of the day in a browser, on a phone and on a desk, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.pages.in_memory_site import InMemorySite
from tests.pages.visitor import check_accessible, check_fits
from tests.support.in_memory_backend import InMemoryBackend
from tests.support.staff_requests import kitchen, tap
from tests.support.waiting import until_true
from web.http.tokens import Role


@pytest.fixture(scope="module")
def site(browser: Browser) -> Iterator[InMemorySite]:
    world = InMemoryBackend()
    with InMemorySite(browser, world, now_ms=lambda: world.now_ms) as running:
        yield running


def rejected(site: InMemorySite) -> str:
    """An order that its kitchen has turned down."""
    order_id = str(site.run(site.api.paid())["orderId"])
    path = f"/api/orders/{order_id}/reject"
    assert site.run(tap(site.api, path, kitchen(site.api)))[0] == 200
    site.run(until_true(lambda: not site.api.world.tasks))
    return order_id


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("javascript", [True, False])
def test_from_the_board_to_a_past_ticket(
    site: InMemorySite, width: int, *, javascript: bool
) -> None:
    order_id = rejected(site)
    viewport = {"width": width, "height": 800}
    page = site.visit(Role.KITCHEN, viewport=viewport, java_script_enabled=javascript)
    page.goto("/kitchen")
    page.get_by_role("link", name="History").click()
    expect(page.locator("h1")).to_have_text("Annapurna Tiffin Room")
    row = page.locator(".past-order", has=page.locator(f"a[href*={order_id}]"))
    expect(row).to_contain_text("Rejected")
    expect(row).to_contain_text("Family thali")
    if javascript:
        check_accessible(page)
        check_fits(page)
    row.get_by_role("link").click()
    expect(page.locator("h1")).to_have_text("Ticket")
    expect(page.locator("[data-ticket]")).to_contain_text("Rejected")
    if javascript:
        check_accessible(page)
        check_fits(page)
        expect(page.get_by_role("button", name="Print the ticket")).to_be_visible()


def test_days_and_pages_are_turned(site: InMemorySite) -> None:
    orders = [rejected(site) for _ in range(3)]
    page = site.visit(Role.KITCHEN)
    page.goto("/kitchen/history?limit=2")
    expect(page.locator(".past-order")).to_have_count(2)
    expect(page.locator(f"a[href*={orders[-1]}]")).to_be_visible()
    page.get_by_role("link", name="Earlier orders").click()
    expect(page.locator(f"a[href*={orders[0]}]")).to_be_visible()
    page.get_by_role("link", name="Day before").click()
    expect(page.get_by_text("No finished orders on this day")).to_be_visible()
    page.get_by_role("link", name="Today").click()
    expect(page.locator(f"a[href*={orders[-1]}]")).to_be_visible()
