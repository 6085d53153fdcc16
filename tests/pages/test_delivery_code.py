"""The delivery code from the customer's page to the courier's board, in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.contract.http.test_delivery_code import at_the_door, wrong
from tests.pages.in_memory_site import InMemorySite
from tests.pages.visitor import check_accessible, check_fits, press
from web.http.tokens import Role


@pytest.fixture(scope="module")
def site(browser: Browser) -> Iterator[InMemorySite]:
    with InMemorySite(browser, asks_delivery_code=True, courier_limit=9) as running:
        yield running


def door(site: InMemorySite) -> tuple[str, Page, Page, str]:
    """An order at its door: its id, its customer's page, its courier's board, and the code."""
    order_id, token = site.run(at_the_door(site.api))
    customer, board = site.visit(), site.visit(viewport={"width": 360, "height": 800})
    site.own(customer, {"orderId": order_id, "orderToken": token})
    customer.goto(f"/orders/{order_id}")
    site.sign_in(board, Role.COURIER, "c1")
    board.goto("/courier")
    code = customer.locator(".delivery-code").text_content() or ""
    return order_id, customer, board, code


def test_a_code_is_given_at_the_door(site: InMemorySite) -> None:
    order_id, customer, board, code = door(site)
    check_accessible(customer)
    ticket = board.locator(f"[data-ticket={order_id}]")
    check_accessible(board)
    check_fits(board)
    ticket.get_by_label("Code from the customer").fill(wrong(code))
    press(ticket, "Delivered")
    expect(board.get_by_role("alert")).to_contain_text("not the customer's code")
    ticket.get_by_label("Code from the customer").fill(code)
    press(ticket, "Delivered")
    expect(ticket).to_have_count(0)
    expect(customer.locator("h1")).to_have_text("Delivered")
    expect(customer.get_by_text("and you gave the code")).to_be_visible()
    expect(customer.locator(".delivery-code")).to_have_count(0)


def test_a_customer_without_a_code_gets_the_food(site: InMemorySite) -> None:
    order_id, customer, board, _ = door(site)
    ticket = board.locator(f"[data-ticket={order_id}]")
    ticket.get_by_text("The customer has no code").click()
    press(ticket, "Delivered without a code")
    expect(ticket).to_have_count(0)
    expect(customer.locator("h1")).to_have_text("Delivered")
