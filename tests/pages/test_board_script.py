"""What the boards' script does with a stream, with news and with a hand on the board; no Kafka is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.in_memory_site import InMemorySite
from tests.pages.visitor import check_accessible
from tests.support.staff_requests import courier, kitchen, tap
from web.http.tokens import Role

FAKE = """() => {
  class Fake extends EventTarget {
    static CONNECTING = 0; static OPEN = 1; static CLOSED = 2;
    constructor() { super(); (window.sources ??= []).push(this); setTimeout(() => this.onopen?.({}), 1); }
    close() {}
  }
  window.EventSource = Fake;
  window.tell = (name) => window.sources.at(-1).dispatchEvent(new MessageEvent(name, { data: "look" }));
  window.looks = 0;
  document.addEventListener("htmx:afterRequest", () => { window.looks += 1; });
}"""
"""A stream that opens, and says only what the test lets it say."""


@pytest.fixture
def site(browser: Browser) -> Iterator[InMemorySite]:
    with InMemorySite(browser, courier_limit=9) as running:
        yield running


def board(site: InMemorySite, role: Role, width: int = 1440) -> Page:
    page = site.visit(role, viewport={"width": width, "height": 700})
    page.add_init_script(f"({FAKE})()")
    page.goto(f"/{role}")
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    return page


def look(page: Page) -> None:
    """Let the stream tell that there is something new, until the page has looked.

    On a slow machine the page may just be making the stream anew.
    """
    looks = page.evaluate("looks")
    page.wait_for_function(
        "before => { if (looks <= before) tell('board'); return looks > before; }",
        arg=looks,
        polling=500,
    )


def test_a_stream_that_says_nothing_is_not_live(site: InMemorySite) -> None:
    page = site.visit(Role.KITCHEN)
    page.add_init_script(f"({FAKE})()")
    page.clock.install()
    page.goto("/kitchen")
    badge = page.locator("[data-live-state]")
    page.clock.run_for(100)
    expect(badge).to_have_text("Live")
    for _ in range(4):
        page.clock.run_for(5000)
        page.evaluate("tell('beat')")
    expect(badge).to_have_text("Live")
    page.clock.run_for(8000)
    expect(badge).to_have_text("Live")  # one may be late
    page.evaluate(
        "() => { window.EventSource = class extends EventTarget { close() {} }; }"
    )  # as dead as the first
    page.clock.run_for(3100)
    expect(badge).to_have_text(re.compile(r"Last update at \d+:\d\d:\d\d"))


@pytest.mark.parametrize("role", [Role.KITCHEN, Role.COURIER])
def test_waiting_times_stay_waiting_times(site: InMemorySite, role: Role) -> None:
    site.run(site.api.paid())
    page = board(site, role)
    times = page.locator("[data-since]")
    expect(times).to_have_text([WAITING_SERVICES])
    page.evaluate(NOTE_TIMES)
    site.run(site.api.paid())
    look(page)
    expect(times).to_have_text([WAITING_SERVICES, WAITING_SERVICES])
    assert page.evaluate("texts.length") >= 2
    assert [text for text in page.evaluate("texts") if not WAITING_SERVICES.search(text)] == []


WAITING_SERVICES = re.compile(r"^\d+ (s|min)$|ago$")
NOTE_TIMES = """() => {
  window.texts = [];
  document.addEventListener("htmx:afterSettle", () => {
    texts.push(...[...document.querySelectorAll("[data-since]")].map((each) => each.textContent));
  });
}"""
"""Notes after each swap, before the clock ticks, what the times say."""


def test_what_is_the_same_is_not_put_in_again(site: InMemorySite) -> None:
    site.run(site.api.paid())
    page = board(site, Role.COURIER)
    page.evaluate(
        "window.swaps = 0; document.addEventListener('htmx:afterSwap', () => { swaps += 1; })"
    )
    for _ in range(3):
        look(page)
    assert page.evaluate("swaps") == 0


def test_news_wait_for_a_hand(site: InMemorySite) -> None:
    orders = [site.run(site.api.paid())["orderId"] for _ in range(2)]
    page = board(site, Role.COURIER)
    first, second = (page.locator(f"[data-ticket={order_id}]") for order_id in orders)
    second.get_by_role("button").hover()
    page.mouse.down()
    take(site, orders[0])
    page.evaluate("tell('board')")
    page.wait_for_timeout(500)  # long enough to show a board that does not wait
    expect(first).to_be_visible()
    page.mouse.up()  # it pressed what it meant to
    expect(second.get_by_role("button")).to_contain_text("Not ready yet")
    page.mouse.move(1, 1)
    expect(first).to_have_count(0)  # and now the news come
    check_accessible(page)


def take(site: InMemorySite, order_id: str) -> None:
    """Another courier takes a delivery."""
    path = f"/api/deliveries/{order_id}/assign"
    assert site.run(tap(site.api, path, courier(site.api, "another")))[0] == 200


def test_a_tap_does_not_hit_what_moved_under_it(site: InMemorySite) -> None:
    orders = [site.run(site.api.paid())["orderId"] for _ in range(2)]
    page = board(site, Role.COURIER, width=360)
    first, second = (page.locator(f"[data-ticket={order_id}]") for order_id in orders)
    box = first.get_by_role("button").bounding_box()
    assert box
    page.evaluate(TAP_AFTER_SWAP, [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    take(site, orders[0])
    look(page)
    expect(first).to_have_count(0)
    expect(page.locator("[data-board-said]")).to_have_text("The list has just moved. Press again.")
    expect(second.get_by_role("button")).to_contain_text("Take it")
    second.get_by_role("button").press("Enter")  # a key hits what has the focus
    expect(second.get_by_role("button")).to_contain_text("Not ready yet")


TAP_AFTER_SWAP = """([x, y]) => document.addEventListener("htmx:afterSettle", () => {
  const options = { bubbles: true, cancelable: true, detail: 1, clientX: x, clientY: y };
  document.elementFromPoint(x, y).dispatchEvent(new MouseEvent("click", options));
}, { once: true })"""
"""A tap that was on its way when the list moved."""


def test_what_is_looked_at_stays_where_it_is(site: InMemorySite) -> None:
    orders = [site.run(site.api.paid())["orderId"] for _ in range(9)]
    page = board(site, Role.KITCHEN, width=360)
    seen = page.locator(f"[data-ticket={orders[6]}]")
    seen.scroll_into_view_if_needed()
    page.evaluate(
        "name => document.querySelector(`[data-ticket=${name}]`).scrollIntoView()", orders[6]
    )
    top = page.evaluate(TOP_OF, orders[6])
    path = f"/api/orders/{orders[0]}/reject"
    assert site.run(tap(site.api, path, kitchen(site.api)))[0] == 200
    look(page)
    expect(page.locator(f"[data-ticket={orders[0]}]")).to_have_count(0)
    page.wait_for_function(
        "([name, top]) => Math.abs(document.querySelector(`[data-ticket=${name}]`)"
        ".getBoundingClientRect().top - top) < 2",
        arg=[orders[6], top],
    )


TOP_OF = "name => document.querySelector(`[data-ticket=${name}]`).getBoundingClientRect().top"
