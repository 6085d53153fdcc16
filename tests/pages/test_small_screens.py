"""Every page on a phone, with and without JavaScript: never wider than the screen; and forms that work."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.in_memory_site import InMemorySite
from tests.pages.visitor import DETAILS, check_fits
from tests.support.http_api import CART
from tests.support.model_examples import PAGES, answering, of_model
from tests.support.operations import ONE_LETTER
from tests.support.staff_requests import RESTAURANT, cook
from web.http.tokens import DevelopmentStaff, Role

WITHOUT = {"java_script_enabled": False}
PHONE = {"viewport": {"width": 360, "height": 740}}


@pytest.fixture(scope="module")
def site(browser: Browser) -> Iterator[InMemorySite]:
    login = DevelopmentStaff("d" * 32, sandbox=True)
    with InMemorySite(
        browser, operations=ONE_LETTER, development_login=login, is_sandbox=True
    ) as running:
        yield running


def order_of(site: InMemorySite, *, paid: bool) -> dict[str, Any]:
    """An order with long words in it."""
    cart = copy.deepcopy(CART)
    cart["contact"]["name"] = "Maximiliana-Theodora Featherstonehaugh-Cholmondeley"
    cart["address"]["line1"] = "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauplatz 12"
    status, order, _ = site.run(site.api.post("/api/payments/create-intent", cart))
    assert status == 201
    if paid:
        assert site.run(site.api.confirm(order))[0] == 200
    return dict(order)


@pytest.mark.parametrize("javascript", [False, True])
@pytest.mark.parametrize("full", [False, True], ids=["barest", "fullest"])
def test_staffs_pages_fit_a_phone(
    site: InMemorySite, monkeypatch: pytest.MonkeyPatch, full: bool, javascript: bool
) -> None:
    pages = {
        role: site.visit(role, **PHONE, java_script_enabled=javascript)
        for role in (Role.OPERATOR, Role.COURIER)
    }
    wide = []
    for path, (kind, where) in PAGES.items():
        answering(monkeypatch, where, of_model(kind, full=full))
        wide += too_wide(pages[Role.COURIER if path == "/courier" else Role.OPERATOR], path)
    assert not wide


@pytest.mark.parametrize("javascript", [False, True])
def test_customers_pages_fit_a_phone(site: InMemorySite, javascript: bool) -> None:
    page = site.visit(Role.OPERATOR, **PHONE, java_script_enabled=javascript)
    wide = []
    for path in ("/", f"/restaurants/{RESTAURANT}", "/checkout", "/login", "/docs"):
        wide += too_wide(page, path)
    for order in (order_of(site, paid=False), order_of(site, paid=True)):
        order_id = order["orderId"]
        site.own(page, order)
        for path in ("", "/pay", "/cancel"):
            wide += too_wide(page, f"/orders/{order_id}{path}")
        for path in ("", "/refund", "/cancel"):
            wide += too_wide(page, f"/ops/orders/{order_id}{path}")
    wide += too_wide(page, "/ops/search?q=nonesuch")
    wide += too_wide(page, "/orders/order_x", status=404)
    assert not wide


def too_wide(page: Page, path: str, status: int = 200) -> list[str]:
    """The page, and what sticks out of it, if anything does."""
    answer = page.goto(path)
    assert answer
    assert answer.status == status, path
    by = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return [f"{path}: {by} px, {page.evaluate(STICKS_OUT)}"] if by > 0 else []


STICKS_OUT = """() => [...document.querySelectorAll("main *")].filter((each) =>
  each.getBoundingClientRect().right > innerWidth && !each.closest(".scroll, .tabs, .filters"))
  .slice(0, 4).map((each) => each.outerHTML.slice(0, 60)).join(" | ")"""


def test_without_javascript_an_order_is_placed_cancelled_cooked_and_found(
    site: InMemorySite,
) -> None:
    page = site.visit(**PHONE, **WITHOUT)
    page.goto(f"/restaurants/{RESTAURANT}")
    page.get_by_role("button", name="Add Masala dosa").click()
    page.get_by_role("button", name="Add one Masala dosa").click()
    page.goto("/checkout")
    page.get_by_role("button", name="Remove one Masala dosa").click()
    for field, value in DETAILS.items():
        page.locator(f"#{field}").fill(value)
    page.get_by_role("button", name="Continue to payment").click()
    page.wait_for_url("**/pay")
    expect(page.locator("noscript .notice")).to_be_visible()  # how to pay all the same
    order_id = page.url.split("/")[-2]
    body = {"orderId": order_id, "paymentMethodId": "pm_card_visa"}
    token = site.api.deps.order_tokens.issue("guest", order_id)
    assert site.run(site.api.post("/api/payments/confirm", body, token=token))[0] == 200
    page.goto(f"/orders/{order_id}")
    expect(page.locator("[aria-current=step]")).to_contain_text("Paid")
    kitchen = site.visit(**PHONE, **WITHOUT)
    kitchen.goto("/kitchen")  # leads to the sign-in
    kitchen.get_by_role("radio", name="Kitchen").check()
    kitchen.get_by_role("button", name="Sign in").click()
    ticket = kitchen.locator(f"[data-ticket={order_id}]")
    ticket.get_by_role("button", name="Accept").click()
    expect(ticket).to_have_attribute("data-status", "CONFIRMED")
    expect(ticket.locator("time")).to_contain_text("since")
    operator = site.visit(Role.OPERATOR, **PHONE, **WITHOUT)
    operator.goto(f"/ops/orders/{order_id}")
    operator.get_by_role("link", name="Refund", exact=True).click()
    operator.get_by_label("Amount in INR").fill("10")
    operator.get_by_role("button", name="Refund").click()
    expect(operator.get_by_role("status")).to_contain_text("Done by operator:demo")
    page.goto(f"/orders/{order_id}")
    page.get_by_role("link", name="Cancel this order").click()
    page.get_by_role("button", name="Cancel the order").click()
    expect(page.locator("h1")).to_have_text("Cancelled and refunded")


def test_without_javascript_a_courier_brings_it(site: InMemorySite) -> None:
    order_id = order_of(site, paid=True)["orderId"]
    page = site.visit(Role.COURIER, **PHONE, **WITHOUT)
    page.goto("/courier")
    row = page.locator(f"[data-ticket={order_id}]")
    row.get_by_role("button", name="Take it").click()
    expect(row).to_contain_text("Featherstonehaugh")
    check_fits(page)
    site.run(cook(site.api, order_id))
    page.goto("/courier")
    row.get_by_role("button", name="Picked up").click()
    row.get_by_role("button", name="Delivered").click()
    expect(row).to_have_count(0)
