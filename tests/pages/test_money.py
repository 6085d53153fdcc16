"""Money in an operator's hands: failed refunds, disputes, dead letters given up; and who did it, afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from models import ids
from sandbox.card_numbers import DISPUTED, REFUND_PENDING
from sandbox.stripe.state import SHORT_SETTLE_DELAY_S
from tests.pages.visitor import (
    StripeControl,
    Visit,
    Visitor,
    check_accessible,
    check_fits,
    operator,
    press,
)
from tests.support.ids import without_ids

if TYPE_CHECKING:
    from tests.support.platforms import BreakablePlatform


@pytest.fixture
def stripe(platform: BreakablePlatform) -> Iterator[StripeControl]:
    made = StripeControl(platform)
    made.settle_after(None)
    yield made
    made.settle_after(SHORT_SETTLE_DELAY_S)


def paid_by(visit: Visit, card: str) -> Visitor:
    """A customer with a paid order before the eyes."""
    customer = visit()
    customer.fill_cart()
    customer.place()
    customer.pay(card)
    customer.wait_tracking()
    return customer


def show_until(page: Page, path: str, words: str | re.Pattern[str]) -> None:
    """Reload a page that does not follow by itself; bounded by the test's own time-out."""
    page.goto(path)
    while not page.get_by_text(words).count():
        page.reload()


@pytest.mark.parametrize("width", [360, 1440])
def test_a_failed_refund_is_retried_from_its_list(
    visit: Visit, stripe: StripeControl, width: int
) -> None:
    customer = paid_by(visit, REFUND_PENDING)
    order_id = customer.order_id
    page = operator(visit, width=width)
    page.goto(f"/ops/orders/{order_id}/cancel")
    page.get_by_role("button", name="Cancel the order").click()
    expect(customer.page.get_by_text("On its way to your bank")).to_be_visible()
    stripe.settle_refund(order_id, "fail")
    expect(customer.page.get_by_text("our support team is on it")).to_be_visible()
    page.goto("/ops/refunds?state=FAILED")
    row = page.get_by_role("row").filter(has=page.locator(f'a[href$="{order_id}"]'))
    expect(row).to_contain_text("expired or canceled card")
    check_accessible(page)
    check_fits(page)
    row.get_by_role("link", name="Retry").click()
    expect(page.locator("h1")).to_have_text("Retry the refund?")
    expect(page.get_by_text("This is recorded as done by operator:olga.")).to_be_visible()
    check_accessible(page)
    check_fits(page)
    page.get_by_role("button", name="Retry the refund").click()
    expect(page.get_by_role("status")).to_contain_text("Done by operator:olga")
    # Neither here nor in the list can it be retried twice.
    refunds = page.get_by_role("group", name="Refunds")
    expect(refunds.get_by_role("row")).to_have_count(3)
    expect(refunds.get_by_role("link", name="Retry")).to_have_count(0)
    stripe.settle_refund(order_id, "succeed")
    expect(customer.page.locator("h1")).to_have_text("Cancelled and refunded")
    # And who did it can be found again, in the order's story and among what people did.
    page.goto(f"/ops/orders/{order_id}")
    story = page.get_by_role("region", name="Timeline", exact=True)
    expect(story.get_by_text("operator:olga")).not_to_have_count(0)
    page.goto("/ops/audit")
    expect(page.get_by_role("region", name="Audit")).to_contain_text(ids.reference(order_id))


@pytest.mark.parametrize("width", [360, 1440])
def test_a_dispute_with_its_evidence(visit: Visit, width: int) -> None:
    customer = paid_by(visit, DISPUTED)
    order_id = customer.order_id
    page = operator(visit, width=width)
    show_until(page, f"/ops/orders/{order_id}", "Disputes of this payment")
    disputes = page.get_by_role("group", name="Disputes of this payment")
    expect(disputes).to_contain_text("Fraudulent")
    expect(disputes).to_contain_text("Needs response")
    expect(disputes).to_contain_text("₹165.00")
    # Stripe refuses a refund of disputed money, so it is not offered.
    expect(page.get_by_role("link", name="Refund", exact=True)).to_have_count(0)
    check_accessible(page)
    check_fits(page)
    page.goto("/ops/disputes")
    row = page.get_by_role("row").filter(has=page.locator(f'a[href$="{order_id}"]'))
    expect(row).to_contain_text("Fraudulent")
    check_accessible(page)
    check_fits(page)
    row.get_by_role("link", name="Evidence").click()
    expect(page.locator("h1")).to_contain_text("Evidence for dispute")
    bundle = page.locator("main")
    for said in ("Masala dosa", "Asha Rao", "12 MG Road", "₹165.00", "PAYMENT_COMPLETED"):
        expect(bundle).to_contain_text(said)
    assert "4242" not in without_ids(bundle.inner_text())
    check_accessible(page)
    check_fits(page)


def test_a_dead_letter_is_discarded_for_a_reason(visit: Visit, platform: BreakablePlatform) -> None:
    customer = visit()
    order_id = customer.order_paid()
    platform.break_at({f"orders/{order_id}": ["ACCEPT_ORDER"]})
    kitchen = visit(javascript=False)
    kitchen.sign_in("Kitchen")
    ticket = kitchen.page.locator(f"[data-ticket={order_id}]")
    press(ticket, "Accept")
    platform.break_at({})
    page = operator(visit)
    page.goto(f"/ops/dead-letters?order={order_id}")
    page.get_by_role("region", name="Dead letters").get_by_role("link").first.click()
    address = page.url
    # Nobody gives one up without a word.
    page.get_by_role("button", name="Rehearse the discard").click()
    expect(page.get_by_role("heading", name="Rehearsal")).to_have_count(0)
    page.get_by_label("Why", exact=True).fill("the kitchen accepted by telephone")
    page.get_by_role("button", name="Rehearse the discard").click()
    expect(page.get_by_role("heading", name="Rehearsal")).to_be_visible()
    check_accessible(page)
    page.get_by_role("link", name="Go back").click()
    expect(page.locator("h1")).to_contain_text("Open")  # a rehearsal changes nothing
    page.get_by_label("Why", exact=True).fill("the kitchen accepted by telephone")
    page.get_by_role("button", name="Rehearse the discard").click()
    page.get_by_role("button", name="Discard now").click()
    expect(page.get_by_role("status")).to_contain_text("Discarded. Done by operator:olga")
    page.goto(address)
    expect(page.locator("main")).to_contain_text("operator:olga: the kitchen accepted by telephone")
    expect(page.get_by_role("button", name="Rehearse the redrive")).to_have_count(0)
    page.goto("/ops/audit")
    audit = page.get_by_role("region", name="Audit")
    expect(audit).to_contain_text("the kitchen accepted by telephone")
    # The order goes on: nothing was done, so the kitchen may accept once more.
    board = visit()
    board.sign_in("Kitchen")
    ticket = board.page.locator(f"[data-ticket={order_id}]")
    press(ticket, "Accept")
    expect(ticket).to_have_attribute("data-status", "CONFIRMED")
    expect(customer.page.locator("h1")).to_have_text("The kitchen has accepted your order")


def test_who_refunded_a_part_is_found_again(visit: Visit) -> None:
    order_id = visit().order_paid()
    page = operator(visit)
    page.goto(f"/ops/orders/{order_id}/refund")
    page.get_by_label("Amount in INR").fill("45.00")
    page.get_by_label("Reason").select_option("QUALITY")
    page.get_by_role("button", name="Refund").click()
    expect(page.get_by_role("status")).to_contain_text("Done by operator:olga")
    # Another operator, at another worker, later.
    visitor = visit(worker=1)
    visitor.sign_in("Operator", "otto")
    page = visitor.page
    page.goto(f"/ops/orders/{order_id}")
    expect(page.get_by_role("group", name="Refunds")).to_contain_text("₹45.00")
    story = page.get_by_role("region", name="Timeline", exact=True)
    expect(story.get_by_text("operator:olga")).not_to_have_count(0)
    expect(story.get_by_text("operator:otto")).to_have_count(0)
    page.goto("/ops/audit")
    audit = page.get_by_role("region", name="Audit")
    rows = audit.get_by_role("row").filter(has_text=ids.reference(order_id))
    expect(rows.filter(has_text="operator:olga")).not_to_have_count(0)
