"""The operators' pages: each opens without a serious finding, finds an order, and acts on it once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from sandbox.card_numbers import DECLINED, VISA
from tests.pages.visitor import Visit, check_accessible, check_fits, operator, press

if TYPE_CHECKING:
    from tests.support.platforms import BreakablePlatform

PAGES = (
    "/ops", "/ops/orders", "/ops/orders?state=DELIVERED", "/ops/stuck", "/ops/dead-letters",
    "/ops/payments?by=hour", "/ops/refunds", "/ops/disputes", "/ops/notifications",
    "/ops/reconciliation", "/ops/lag", "/ops/audit", "/ops/search?q=nonesuch", "/ops/search?q=%21",
    "/docs",
)  # fmt: skip


@pytest.mark.parametrize("width", [360, 1440])
def test_every_page_opens(visit: Visit, width: int) -> None:
    visitor = visit(width=width)
    visitor.sign_in_by_form("Operator", "olga")
    assert visitor.page.url.endswith("/ops")
    for path in PAGES:
        answer = visitor.page.goto(path)
        assert answer
        assert answer.status == 200, path
        check_accessible(visitor.page)
        check_fits(visitor.page)


def test_an_order_is_found_by_any_id_and_shown_from_three_sides(visit: Visit) -> None:
    customer = visit()
    customer.fill_cart()
    order_id = customer.place()
    customer.pay(DECLINED)
    customer.page.locator("#pay-wrong:not([hidden])").wait_for()
    customer.pay(VISA)
    customer.wait_tracking()
    page = operator(visit, worker=1)
    page.get_by_label("Find orders by reference").fill(order_id)
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#order-id")).to_contain_text(order_id)
    ours = page.get_by_role("group", name="Our tables")
    expect(ours).to_contain_text(order_id)
    expect(ours).not_to_contain_text("Asha")  # who it is for is the customer's page's business
    theirs = page.get_by_role("group", name="Stripe's object")
    expect(theirs).to_contain_text('"status": "succeeded"')
    expect(theirs).not_to_contain_text("client_secret")
    story = page.get_by_role("region", name="Timeline", exact=True)
    expect(story).to_contain_text("PAYMENT_FAILED")
    expect(page.locator(".dot-mark")).not_to_have_count(0)
    check_accessible(page)
    intent = re.search(r"pi_\w+", theirs.inner_text())
    assert intent
    page.get_by_label("Find orders by reference").fill(intent[0])
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#order-id")).to_contain_text(order_id)


def test_a_refund_in_part_is_asked_for_once_and_recorded(visit: Visit) -> None:
    customer = visit()
    order_id = customer.order_paid()
    page = operator(visit)
    page.goto(f"/ops/orders/{order_id}")
    page.get_by_role("link", name="Refund", exact=True).click()
    check_accessible(page)
    page.get_by_label("Amount in INR").fill("1000")
    page.get_by_role("button", name="Refund").click()
    expect(page.get_by_role("alert")).to_contain_text("Enter an amount up to ₹165.00")
    page.get_by_label("Amount in INR").fill("45.00")
    page.get_by_label("Reason").select_option("ITEM_MISSING")
    page.get_by_role("button", name="Refund").click()
    expect(page.get_by_role("status")).to_contain_text("Done by operator:olga")
    expect(page.get_by_role("group", name="Refunds")).to_contain_text("₹45.00")
    expect(customer.page.get_by_role("heading", name="Refunds")).to_be_visible()
    expect(customer.page.locator("h1")).to_have_text("Paid and sent to the kitchen")
    page.goto("/ops/refunds?state=SUCCEEDED")
    expect(page.get_by_role("region", name="Refunds")).to_contain_text("Item missing")


def test_an_operator_cancels_an_order(visit: Visit) -> None:
    customer = visit()
    order_id = customer.order_paid()
    page = operator(visit, worker=1)
    page.goto(f"/ops/orders/{order_id}")
    page.get_by_role("link", name="Cancel the order").click()
    expect(page.get_by_text("The customer will be refunded ₹165.00")).to_be_visible()
    page.get_by_role("button", name="Cancel the order").click()
    expect(page.get_by_role("status")).to_contain_text("Done by operator:olga")
    expect(customer.page.locator("h1")).to_have_text("Cancelled and refunded")
    expect(customer.page.get_by_text("Our support team cancelled it.").first).to_be_visible()


def test_a_dead_letter_is_rehearsed_and_redriven(visit: Visit, platform: BreakablePlatform) -> None:
    customer = visit()
    order_id = customer.order_paid()
    platform.break_at({f"orders/{order_id}": ["ACCEPT_ORDER"]})
    kitchen = visit(javascript=False)
    kitchen.sign_in("Kitchen")
    press(kitchen.page.locator(f"[data-ticket={order_id}]"), "Accept")
    page = operator(visit)
    page.goto("/ops")
    expect(page.locator("h1")).to_have_text("Something needs attention")
    check_accessible(page)
    page.goto(f"/ops/dead-letters?order={order_id}")
    page.get_by_role("region", name="Dead letters").get_by_role("link").first.click()
    expect(page.get_by_text("RuntimeError").first).to_be_visible()
    expect(page.get_by_role("group", name="The record")).to_contain_text("ACCEPT_ORDER")
    check_accessible(page)
    check_fits(page)
    page.get_by_role("button", name="Rehearse the redrive").click()
    expect(
        page.get_by_text("This would be refused: it would become a dead letter again.")
    ).to_be_visible()
    expect(page.get_by_role("button", name="Redrive now")).to_have_count(0)
    platform.break_at({})
    page.get_by_role("link", name="All dead letters").click()
    page.get_by_role("region", name="Dead letters").get_by_role("link").first.click()
    page.get_by_label("Why (optional)").fill("fixed")
    page.get_by_role("button", name="Rehearse the redrive").click()
    expect(page.locator("#act")).to_contain_text("ORDER_CONFIRMED")
    check_accessible(page)
    page.get_by_role("button", name="Redrive now").click()
    expect(page.get_by_role("status")).to_contain_text("Redriven. Done by operator:olga")
    expect(customer.page.locator("h1")).to_have_text("The kitchen has accepted your order")
    page.goto("/ops/audit")
    expect(page.get_by_role("region", name="Audit")).to_contain_text("operator:olga")
    page.goto("/ops/dead-letters?state=REDRIVEN")
    expect(page.get_by_role("region", name="Dead letters")).to_contain_text("operator:olga")


def test_the_report_has_charts_a_table_and_an_export(visit: Visit) -> None:
    visit().order_paid()
    page = operator(visit)
    page.goto("/ops/payments")
    page.get_by_label("By", exact=True).select_option("minute")
    page.get_by_label("Currency").select_option("INR")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"/ops/payments\?by=minute&currency=INR$"))
    while page.locator(".uplot canvas").count() < 2:  # bounded by the test's own time-out
        page.reload()
    page.get_by_text("As a table").click()
    expect(page.get_by_role("region", name="Payments over time")).to_contain_text("₹")
    check_accessible(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    assert download.value.suggested_filename.endswith(".csv")
