"""An order's own page: live, through the death of workers, cancelled and refunded."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.pages.visitor import KITCHEN, Visit, check_accessible, check_fits, headline, press

if TYPE_CHECKING:
    from playwright.sync_api import Request

    from sandbox.platform import Platform


@pytest.mark.parametrize("width", [360, 1440])
def test_cancelled_and_refunded(visit: Visit, width: int) -> None:
    visitor = visit(width=width)
    page = visitor.page
    visitor.order_paid()
    page.get_by_role("link", name="Cancel this order").click()
    expect(page.get_by_text("We will refund ₹165.00")).to_be_visible()
    check_accessible(page)
    check_fits(page)
    page.get_by_role("radio", name="It is taking too long").check()
    page.get_by_role("button", name="Cancel the order").click()
    visitor.wait_tracking()
    expect(page.locator("h1")).to_have_text("Cancelled and refunded")
    expect(page.get_by_text("Sent to your bank")).to_be_visible()
    expect(page.get_by_text("5 to 10 business days").first).to_be_visible()
    expect(page.get_by_role("link", name="Cancel this order")).to_have_count(0)
    check_accessible(page)
    check_fits(page)


def accept(visit: Visit, order_id: str, worker: int) -> None:
    """The kitchen accepts, on its own board."""
    kitchen = visit(worker=worker, errors_allowed=True)
    kitchen.sign_in("Kitchen")
    ticket = kitchen.page.locator(f"[data-ticket={order_id}]")
    press(ticket, "Accept")
    expect(ticket).to_have_attribute("data-status", "CONFIRMED")


def test_a_workers_death_does_not_stop_the_page(visit: Visit, platform: Platform) -> None:
    visitor = visit(errors_allowed=True)  # the page's own worker dies: Chromium tells of it
    page = visitor.page
    order_id = visitor.order_paid()
    badge = page.locator("[data-live-state]")
    expect(badge).to_have_text("Live")
    urls: list[str] = []

    def note(request: Request) -> None:
        urls.append(request.url)

    page.on("request", note)
    dying = platform.workers[0]
    assert dying.pid
    os.kill(dying.pid, signal.SIGKILL)
    expect(badge).not_to_have_text("Live")
    platform.wait_ready()
    accept(visit, order_id, worker=1)
    expect(page.locator("h1")).to_have_text(
        "The kitchen has accepted your order"
    )  # without a reload
    expect(badge).to_have_text("Live")
    assert dying.exits[-1] == -signal.SIGKILL
    # It goes on where it was: the stream that is made anew names the last event that the page has.
    assert any("/stream" in url and "lastEventId=" in url for url in urls)


def test_without_a_stream_the_page_asks_by_itself(visit: Visit) -> None:
    visitor = visit(errors_allowed=True)  # the stream is cut, which Chromium tells
    visitor.context.route(re.compile(r"/stream"), lambda route: route.abort())
    order_id = visitor.order_paid()
    badge = visitor.page.locator("[data-live-state]")
    expect(badge).to_have_text("Checking every few seconds")
    accept(visit, order_id, worker=0)
    expect(visitor.page.locator("h1")).to_have_text("The kitchen has accepted your order")


def test_a_strangers_browser_sees_nothing(visit: Visit) -> None:
    order_id = visit().order_paid()
    stranger = visit(errors_allowed=True)  # 401 and 403 stand in the console
    answer = stranger.page.goto(f"/orders/{order_id}")
    assert answer
    assert answer.status == 401
    assert headline(stranger.page) == "This page is private"
    assert "MG Road" not in stranger.page.content()
    check_accessible(stranger.page)


def test_what_is_not_there_is_said_in_plain_words(visit: Visit) -> None:
    visitor = visit(errors_allowed=True)
    for path in ("/nothing", "/restaurants/nobody", "/orders/order_nonsense"):
        answer = visitor.page.goto(path)
        assert answer
        assert answer.status == 404
        assert headline(visitor.page).startswith("We ")
        check_accessible(visitor.page)
    assert KITCHEN not in visitor.page.content()
