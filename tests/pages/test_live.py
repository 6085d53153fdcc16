"""Boards and many tabs, live: told by streams, through a worker's death, over few connections."""

from __future__ import annotations

import os
import re
import signal
from functools import partial
from typing import TYPE_CHECKING

from playwright.sync_api import Locator, Page, expect

from sandbox.processes import MAX_WAIT_S, wait_until
from tests.pages.visitor import DETAILS, KITCHEN, Visit, Visitor, check_accessible, press

if TYPE_CHECKING:
    from playwright.sync_api import Request

    from sandbox.platform import Platform
    from tests.support.platforms import BreakablePlatform

TABS = 8
SLOTS = 4
"""Streams that one browser holds at a time: web/static/sse.js."""

HELD = """async () => (await navigator.locks.query()).held
  .filter((lock) => lock.name.startsWith("tiffin-stream-")).length"""
NOTE_STATES = """() => {
  window.liveStates = [];
  const note = () => window.liveStates.push(
    document.querySelector("[data-live-state]").textContent.trim());
  new MutationObserver(note).observe(
    document.body, { childList: true, characterData: true, subtree: true });
}"""
"""Keeps what the badge says from then on: a worker may be back before anybody looks."""
LOOKED_AWAY = """() => {
  Object.defineProperty(document, "hidden", { value: true, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
LOOKED_AT = LOOKED_AWAY.replace("true,", "false,", 1)
"""Headless Chromium shows every tab; this is what it would tell a page that it hides or shows."""


def badge_of(page: Page) -> Locator:
    return page.locator("[data-live-state]")


def test_boards_are_told(visit: Visit) -> None:
    kitchen, courier, operator = visit(worker=1), visit(width=360), visit()
    kitchen.sign_in("Kitchen")
    courier.sign_in("Courier", "lena")
    operator.sign_in("Operator", "olga")
    looks: list[str] = []

    def note(request: Request) -> None:
        if "seen=" in request.url:
            looks.append(request.url)

    for visitor in (kitchen, courier, operator):
        expect(badge_of(visitor.page)).to_have_text("Live")
    check_accessible(operator.page)
    kitchen.page.on("request", note)
    order_id = visit().order_paid()
    for visitor in (kitchen, courier):
        expect(visitor.page.locator(f"[data-ticket={order_id}]")).to_be_visible()
        expect(badge_of(visitor.page)).to_have_text("Live")
    assert looks  # it looked because it was told to, as it does not ask by itself while it is live


def test_the_overview_is_told(visit: Visit, platform: BreakablePlatform) -> None:
    operator = visit(worker=1)
    operator.sign_in("Operator", "olga")
    page = operator.page
    expect(badge_of(page)).to_have_text("Live")
    letters = page.locator(".tile").filter(has_text="Dead letters").locator(".figure")
    before = int(letters.inner_text())
    order_id = visit().order_paid()
    platform.break_at({f"orders/{order_id}": ["ACCEPT_ORDER"]})
    kitchen = visit(javascript=False)
    kitchen.sign_in("Kitchen")
    press(kitchen.page.locator(f"[data-ticket={order_id}]"), "Accept")
    platform.break_at({})
    expect(letters).to_have_text(str(before + 1))  # without a reload
    expect(page.locator("h1")).to_have_text("Something needs attention")
    page.goto(f"/ops/dead-letters?order={order_id}")
    page.get_by_role("region", name="Dead letters").get_by_role("link").first.click()
    page.get_by_role("button", name="Rehearse the redrive").click()
    page.get_by_role("button", name="Redrive now").click()
    expect(page.get_by_role("status")).to_contain_text("Redriven.")


def test_a_board_outlives_its_worker(visit: Visit, platform: Platform) -> None:
    kitchen = visit(errors_allowed=True)  # the board's own worker dies: Chromium tells of it
    kitchen.sign_in("Kitchen")
    second = kitchen.tab()
    second.goto("/kitchen")
    tabs = (kitchen.page, second)
    for tab in tabs:
        expect(badge_of(tab)).to_have_text("Live")
        tab.evaluate(NOTE_STATES)
    dying = platform.workers[0]
    assert dying.pid
    shoppers = [at_checkout(visit, javascript=number % 2 == 0) for number in range(4)]
    os.kill(dying.pid, signal.SIGKILL)
    for shopper in shoppers:
        shopper.page.get_by_role("button", name="Continue to payment").click()
    for tab in tabs:
        wait_until(partial(was_cut_off, tab), "a badge other than Live", timeout_s=MAX_WAIT_S)
    # Orders of the worker that is gone have waited in Kafka; their pages have asked again by themselves.
    for shopper in shoppers:
        expect(shopper.page.get_by_role("button", name="Pay ₹120.00")).to_be_visible()
        expect(shopper.page.locator("h1")).to_have_text("Payment")
    assert len({shopper.order_id for shopper in shoppers}) == len(shoppers)
    platform.wait_ready()
    order_id = visit(worker=1).order_paid()
    for tab in tabs:
        expect(tab.locator(f"[data-ticket={order_id}]")).to_be_visible()  # without a reload
        expect(badge_of(tab)).to_have_text("Live")
    press(tabs[0].locator(f"[data-ticket={order_id}]"), "Accept")
    expect(tabs[1].locator(f"[data-ticket={order_id}]")).to_have_attribute(
        "data-status", "CONFIRMED"
    )


def was_cut_off(tab: Page) -> bool:
    """Whether the badge has said anything but Live since its states are kept."""
    return any(state != "Live" for state in tab.evaluate("window.liveStates"))


def at_checkout(visit: Visit, *, javascript: bool) -> Visitor:
    """A customer with all filled in, at the worker that stays."""
    # Pages that are not there yet are 503s, which Chromium's console tells.
    shopper = visit(worker=1, javascript=javascript, errors_allowed=True)
    page = shopper.page
    page.goto(f"/restaurants/{KITCHEN}")
    page.get_by_role("button", name="Add Masala dosa").click()
    page.locator(".cart-line").first.wait_for(state="attached")
    page.goto("/checkout")
    for field, value in DETAILS.items():
        page.locator(f"#{field}").fill(value)
    return shopper


def test_without_streams_a_board_asks_by_itself(visit: Visit) -> None:
    kitchen = visit(errors_allowed=True)  # the stream is cut, which Chromium tells
    kitchen.context.route(re.compile(r"/stream"), lambda route: route.abort())
    kitchen.sign_in("Kitchen")
    expect(badge_of(kitchen.page)).to_have_text("Checking every few seconds")
    order_id = visit().order_paid()
    expect(kitchen.page.locator(f"[data-ticket={order_id}]")).to_be_visible()


def test_many_tabs_share_the_browsers_connections(visit: Visit) -> None:
    visitor = visit()
    order_id = visitor.order_paid()
    tabs = [visitor.page, *(visitor.tab() for _ in range(TABS - 1))]
    for tab in tabs[1:]:
        tab.goto(f"/orders/{order_id}")  # would hang with six connections taken for ever
    live = [tab for tab in tabs if _is_live(tab)]
    assert len(live) == visitor.page.evaluate(HELD) == SLOTS
    # One who is not looked at gives its place to another.
    waiting = next(tab for tab in tabs if tab not in live)
    live[0].evaluate(LOOKED_AWAY)
    for tab in tabs:
        if tab not in {*live, waiting}:
            tab.evaluate(LOOKED_AWAY)
    expect(badge_of(waiting)).to_have_text("Live")
    kitchen = visit(worker=1)
    kitchen.sign_in("Kitchen")
    press(kitchen.page.locator(f"[data-ticket={order_id}]"), "Accept")
    for tab in (waiting, *live[1:]):
        expect(tab.locator("h1")).to_have_text("The kitchen has accepted your order")
    expect(live[0].locator("h1")).to_have_text("Paid and sent to the kitchen")
    live[0].evaluate(LOOKED_AT)  # and once it is looked at, it is as it should be
    expect(live[0].locator("h1")).to_have_text("The kitchen has accepted your order")


def _is_live(tab: Page) -> bool:
    """Whether the tab has a stream, once it knows."""
    expect(badge_of(tab)).to_have_text(re.compile("Live|Checking every few seconds"))
    return tab.locator("[data-live-state][data-state=live]").count() > 0


LISTEN = """() => {
  window.played = [];
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...at) {
    window.played.push(this.frequency.value);
    return start.apply(this, at);
  };
}"""
"""Notes what the page asks the browser to play, and lets it play."""
NEW, LATE = [660], [880, 880, 880]


def test_a_kitchen_hears_and_sees_what_waits_too_long(visit: Visit) -> None:
    kitchen = visit(errors_allowed=True)  # its clock jumps, so its stream seems dead for a moment
    page = kitchen.page
    page.add_init_script(f"({LISTEN})()")
    page.clock.install()
    first = visit().order_paid()
    kitchen.sign_in("Kitchen")
    ticket = page.locator(f"[data-ticket={first}]")
    expect(ticket).to_be_visible()
    sound = page.locator("[data-sound]")
    expect(sound).to_have_text("Sound is off")
    expect(ticket.get_by_text("Waiting too long")).to_have_count(0)
    page.clock.fast_forward("03:10")
    # Colour, and words for those who see no colour; no sound that nobody asked for.
    expect(ticket).to_have_class(re.compile(r"\blate\b"))
    expect(ticket).to_contain_text("Waiting too long")
    check_accessible(page)
    assert page.evaluate("played") == []
    sound.click()
    expect(sound).to_have_text("Sound is on")
    expect(sound).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("played") == NEW  # so that one knows how it sounds
    second = visit().order_paid()
    newcomer = page.locator(f"[data-ticket={second}]")
    expect(newcomer).to_be_visible()
    page.wait_for_function("() => played.length >= 2")
    page.evaluate("played.length = 0")
    page.clock.fast_forward("06:20")
    expect(newcomer).to_have_class(re.compile(r"\blate\b"))
    page.wait_for_function("() => played.length >= 3")
    assert page.evaluate("played") == LATE
    # Muted, it stays silent, in this tab and after a reload.
    sound.click()
    expect(sound).to_have_text("Sound is off")
    page.evaluate("played.length = 0")
    third = visit().order_paid()
    expect(page.locator(f"[data-ticket={third}]")).to_be_visible()
    page.clock.run_for(2000)
    assert page.evaluate("played") == []
    page.reload()
    expect(sound).to_have_text("Sound is off")


def test_of_two_tabs_one_has_the_ears(visit: Visit) -> None:
    kitchen = visit(worker=1)
    kitchen.page.add_init_script(f"({LISTEN})()")
    kitchen.sign_in("Kitchen")
    kitchen.page.locator("[data-sound]").click()
    second = kitchen.tab()
    second.add_init_script(f"({LISTEN})()")
    second.goto("/kitchen")
    for tab in (kitchen.page, second):
        expect(badge_of(tab)).to_have_text("Live")
        expect(tab.locator("[data-sound]")).to_have_attribute("aria-pressed", "true")
        tab.evaluate("played.length = 0")
    # The first one listens although nobody looks at it.
    kitchen.page.evaluate(LOOKED_AWAY)
    order_id = visit().order_paid()
    expect(second.locator(f"[data-ticket={order_id}]")).to_be_visible()
    # Other orders of the board may be late by now, which sounds otherwise.
    kitchen.page.wait_for_function("() => played.includes(660)")
    assert kitchen.page.evaluate("played.filter((tone) => tone === 660)") == NEW
    assert second.evaluate("played") == []
    # Switched off in one tab it is off in all.
    second.locator("[data-sound]").click()
    expect(kitchen.page.locator("[data-sound]")).to_have_text("Sound is off")
