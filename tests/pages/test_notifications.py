"""The operators' page of messages to customers: what failed is told in words and tried again, once."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect

from models import ids
from sandbox.processes import MAX_WAIT_S
from tests.pages.visitor import Visit, check_accessible, check_fits, operator

if TYPE_CHECKING:
    from sandbox.platform import Platform

LIST = "/ops/notifications"


class Mailbox:
    """The sandbox's mail server and SMS provider, told to fail."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/_control/faults"

    def _send(self, method: str, body: Any = None) -> None:
        request = urllib.request.Request(
            self.url, json.dumps(body).encode() if body else None, method=method
        )
        urllib.request.urlopen(request, timeout=MAX_WAIT_S).close()

    def refuse(self, channel: str, code: int) -> None:
        """All messages, those of other orders too."""
        self._send("POST", {"channel": channel, "kind": "refuse", "code": code, "times": 100})

    def accept(self) -> None:
        self._send("DELETE")


@pytest.fixture
def mailbox(platform: Platform) -> Iterator[Mailbox]:
    made = Mailbox(platform.endpoints.mailbox)
    yield made
    made.accept()


def shown(page: Page, path: str, *texts: str) -> None:
    """Open a page again until its list has these; bounded by the test's own time-out."""
    while True:
        page.goto(path)
        rows = page.get_by_role("region", name="Notifications")
        if rows.count() and all(text in rows.inner_text() for text in texts):
            return


def test_what_failed_is_tried_again_by_name_and_once(visit: Visit, mailbox: Mailbox) -> None:
    mailbox.refuse("EMAIL", 550)
    mailbox.refuse("SMS", 503)
    customer = visit()
    order_id = customer.order_paid()
    page = operator(visit, worker=1)
    of_order = f"{LIST}?order={order_id}"
    shown(page, of_order, "Given up", "Needs you", "There is no such mailbox")
    check_accessible(page)
    mailbox.accept()
    page.get_by_label("State").select_option("FAILED")
    page.get_by_role("button", name="Show").click()
    rows = page.get_by_role("region", name="Notifications").locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Payment received")
    expect(rows).not_to_contain_text("asha")
    rows.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("heading", name="Send the message again?")).to_be_visible()
    check_accessible(page)
    page.get_by_role("button", name="Send the message again").click()
    expect(page.get_by_role("status")).to_contain_text("Done by operator:olga")
    shown(page, of_order, "Sent", "receipt")
    page.goto(f"{of_order}&state=FAILED")
    expect(page.get_by_text("No messages match. Change the filter to see others.")).to_be_visible()
    page.goto(f"/ops/orders/{order_id}")
    story = page.get_by_role("region", name="Timeline", exact=True)
    expect(story).to_contain_text("NOTIFICATION_RETRIED")
    expect(story).to_contain_text("operator:olga")
    page.goto("/ops/audit")
    audit = page.get_by_role("region", name="Audit")
    expect(audit).to_contain_text("NOTIFICATION_RETRIED")


@pytest.mark.parametrize("width", [360, 1440])
def test_all_orders_are_listed_and_filtered_at_both_workers(
    visit: Visit, mailbox: Mailbox, width: int
) -> None:
    mailbox.refuse("SMS", 503)
    orders = [visit().order_paid() for _ in range(2)]
    for worker in range(2):
        page = operator(visit, worker=worker, width=width)
        ends = [ids.reference(order_id) for order_id in orders]
        shown(page, f"{LIST}?state=WAITING_FOR_OPERATOR&channel=SMS", *ends)
        check_accessible(page)
        check_fits(page)
        page.goto(f"{LIST}?limit=1")
        page.get_by_role("link", name="Older").click()
        expect(page.get_by_role("link", name="Newest")).to_be_visible()
        check_fits(page)
        page.get_by_label("Order", exact=True).fill("order_nonsense")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("alert")).to_contain_text("an id of ours")
        check_accessible(page)
        check_fits(page)
