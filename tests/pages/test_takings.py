"""A kitchen's takings in a browser: on its board and above its history, on a phone and on a desk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.contract.http.test_takings import takings_world
from tests.pages.in_memory_site import InMemorySite
from tests.pages.visitor import check_accessible, check_fits
from tests.support.staff_requests import kitchen, tap
from tests.support.waiting import until_true
from web.http.tokens import Role


@pytest.fixture(scope="module")
def site(browser: Browser) -> Iterator[InMemorySite]:
    world = takings_world()
    with InMemorySite(browser, world, now_ms=lambda: world.now_ms) as running:
        order = running.run(running.api.paid())
        running.run(running.api.paid())
        path = f"/api/orders/{order['orderId']}/reject"
        assert running.run(tap(running.api, path, kitchen(running.api)))[0] == 200
        running.run(until_true(lambda: not world.tasks))
        yield running


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("path", ["/kitchen", "/kitchen/history"])
def test_the_days_takings_are_shown(site: InMemorySite, path: str, width: int) -> None:
    page = site.visit(Role.KITCHEN, viewport={"width": width, "height": 800})
    page.goto(path)
    figures = page.locator(".takings dd")
    expect(figures).to_have_text(["2", "₹5,000.00", "₹2,500.00", "₹2,500.00"])
    check_accessible(page)
    check_fits(page)


def test_history_has_them_without_javascript(site: InMemorySite) -> None:
    page = site.visit(Role.KITCHEN, java_script_enabled=False)
    page.goto("/kitchen/history")
    expect(page.locator(".takings dd").first).to_have_text("2")


def test_the_board_follows_a_payment(site: InMemorySite) -> None:
    page = site.visit(Role.KITCHEN)
    page.goto("/kitchen")
    paid = int(page.locator(".takings dd").first.inner_text())
    site.run(site.api.paid())
    expect(page.locator(".takings dd").first).to_have_text(str(paid + 1))
