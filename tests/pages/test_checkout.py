"""Menu, cart, checkout and payment in a real browser, on the whole platform."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from sandbox.card_numbers import DECLINED, THREE_D_SECURE_UNLESS_SET_UP, VISA
from tests.pages.visitor import (
    DETAILS,
    KITCHEN,
    StripeControl,
    Visit,
    Visitor,
    check_accessible,
    check_fits,
    headline,
    press,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, FrameLocator, Route

    from sandbox.platform import Platform

FIRST_PAGE_BYTES = 100 * 1024


@pytest.fixture
def stripe(platform: Platform) -> StripeControl:
    return StripeControl(platform)


def bank(visitor: Visitor) -> FrameLocator | Frame:
    """The 3-D Secure page in its frame."""
    return visitor.page.frame_locator("dialog iframe")


@pytest.mark.parametrize("width", [360, 1440])
def test_paid(visit: Visit, width: int) -> None:
    visitor = visit(width=width)
    page = visitor.page
    page.goto("/")
    check_accessible(page)
    check_fits(page)
    page.get_by_role("link", name="Annapurna Tiffin Room").click()
    visitor.fill_cart()
    check_accessible(page)
    check_fits(page)
    page.goto("/checkout")
    check_accessible(page)
    check_fits(page)
    order_id = visitor.place()
    page.get_by_label("Card number").wait_for()
    check_accessible(page)
    check_fits(page)
    expect(page.get_by_role("button", name="Pay ₹165.00")).to_be_enabled()
    visitor.pay()
    visitor.wait_tracking()
    assert visitor.order_id == order_id
    expect(page.locator("h1")).to_have_text("Paid and sent to the kitchen")
    expect(page.locator(".steps .done")).to_have_count(1)
    expect(page.locator(".steps [aria-current=step]")).to_contain_text("Paid")
    expect(page.get_by_role("link", name="Receipt")).to_be_visible()
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    check_accessible(page)
    check_fits(page)
    page.goto(f"/orders/{order_id}/pay")
    visitor.wait_tracking()  # the back button finds the order, not another payment
    page.goto("/checkout")
    expect(page.get_by_text("Your cart is empty.")).to_be_visible()


def test_the_first_page_is_light(visit: Visit) -> None:
    visitor = visit()
    sizes: list[int] = []
    devtools = visitor.context.new_cdp_session(visitor.page)
    devtools.send("Network.enable")
    devtools.on("Network.loadingFinished", lambda done: sizes.append(done["encodedDataLength"]))
    visitor.page.goto("/", wait_until="networkidle")
    assert len(sizes) > 5
    assert sum(sizes) < FIRST_PAGE_BYTES, f"{sum(sizes)} bytes in {len(sizes)} files"


def test_the_cart_survives_a_reload_and_is_one_in_all_tabs(visit: Visit) -> None:
    visitor = visit()
    visitor.fill_cart()
    first, second = visitor.page, visitor.tab()
    second.goto(f"/restaurants/{KITCHEN}")
    expect(second.locator(".cart-line")).to_have_count(2)
    more = first.locator("#stepper-menu-masala-dosa").get_by_role("button", name="Add one")
    more.click()
    expect(second.locator("#stepper-menu-masala-dosa .count")).to_contain_text("2")
    expect(more).to_be_focused()
    first.reload()
    expect(first.locator("#stepper-menu-masala-dosa .count")).to_contain_text("2")
    expect(first.locator("#cart-said")).to_contain_text("3 dishes in your cart, ₹285.00")


def test_a_tap_counts_although_the_page_changes_under_the_finger(visit: Visit) -> None:
    page = visit(width=360).page
    page.goto(f"/restaurants/{KITCHEN}")
    coffee = page.get_by_role("button", name="Add Filter coffee")
    held: list[Route] = []
    page.route("**/cart", lambda route: held.append(route))  # noqa: PLW0108 - it is given a name
    with page.expect_request("**/cart"):
        page.get_by_role("button", name="Add Masala dosa").press("Enter")
    coffee.hover()
    page.mouse.down()
    with page.expect_response("**/cart") as answer:
        held[0].continue_()
    answer.value.finished()
    page.unroute("**/cart")
    page.mouse.up()
    expect(page.locator(".cart-line")).to_have_count(2)


def test_a_cart_of_another_restaurant_is_given_up_only_when_asked(visit: Visit) -> None:
    visitor = visit()
    visitor.fill_cart()
    page = visitor.page
    page.goto("/restaurants/hinode-kyoto")
    page.get_by_role("button", name="Add Shoyu ramen").click()
    expect(page.locator("h1")).to_have_text("Start a new cart?")
    check_accessible(page)
    page.get_by_role("button", name="Start a new cart").click()
    expect(page.locator("#cart-said")).to_have_text("1 dish in your cart, ¥980")


def test_wrong_details_are_named_beside_their_fields(visit: Visit) -> None:
    visitor = visit()
    visitor.fill_cart()
    page = visitor.page
    page.goto("/checkout")
    page.get_by_label("Email").fill("nobody")
    page.get_by_label("City").fill("4242 4242 4242 4242")
    page.get_by_role("button", name="Continue to payment").click()
    expect(page.get_by_role("alert")).to_contain_text("One of the fields contains a card number")
    page.get_by_label("City").fill("Bengaluru")
    page.get_by_role("button", name="Continue to payment").click()
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_label("Email")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Email")).to_have_value("nobody")
    expect(page.get_by_label("City")).not_to_have_attribute("aria-invalid", "true")
    check_accessible(page)


def test_declined_and_retried(visit: Visit, stripe: StripeControl) -> None:
    visitor = visit()
    visitor.fill_cart()
    order_id = visitor.place()
    visitor.pay(DECLINED)
    wrong = visitor.page.locator("#pay-wrong")
    expect(wrong).to_contain_text("Your card was declined. Try another card, or ask your bank.")
    expect(wrong).to_be_focused()
    check_accessible(visitor.page)
    visitor.page.reload()
    expect(wrong).to_contain_text("Your card was declined")  # a reload keeps what was said
    visitor.pay(VISA)
    visitor.wait_tracking()
    assert visitor.order_id == order_id
    assert len(stripe.charges(order_id)) == 1


def test_3d_secure_passed(visit: Visit, stripe: StripeControl) -> None:
    visitor = visit()
    visitor.fill_cart()
    order_id = visitor.place()
    visitor.pay(THREE_D_SECURE_UNLESS_SET_UP)
    bank(visitor).get_by_role("button", name="Complete").click()
    visitor.wait_tracking()
    assert len(stripe.charges(order_id)) == 1


def test_3d_secure_failed_then_another_card(visit: Visit) -> None:
    visitor = visit()
    visitor.fill_cart()
    visitor.place()
    visitor.pay(THREE_D_SECURE_UNLESS_SET_UP)
    bank(visitor).get_by_role("button", name="Fail").click()
    expect(visitor.page.locator("#pay-wrong")).to_contain_text("could not confirm that it was you")
    visitor.pay(VISA)
    visitor.wait_tracking()


def test_a_reload_amid_3d_secure_asks_the_bank_again(visit: Visit) -> None:
    visitor = visit()
    visitor.fill_cart()
    visitor.place()
    visitor.pay(THREE_D_SECURE_UNLESS_SET_UP)
    bank(visitor).get_by_role("button", name="Complete").wait_for()
    visitor.page.reload()
    check_accessible(visitor.page)
    visitor.page.get_by_role("button", name="Confirm with your bank").click()
    bank(visitor).get_by_role("button", name="Complete").click()
    visitor.wait_tracking()


def test_one_press_one_charge_through_reload_and_second_tab(
    visit: Visit, stripe: StripeControl
) -> None:
    visitor = visit(errors_allowed=True)  # a request that a reload breaks off is told
    visitor.fill_cart()
    order_id = visitor.place()
    stripe.fault(kind="hold", method="POST", idempotency_key="^confirm:.*")
    visitor.pay()
    button = visitor.page.locator("#pay-button")
    expect(button).to_be_disabled()
    expect(button).to_contain_text("Paying")
    second = visitor.tab()
    second.goto(f"/orders/{order_id}/pay")
    expect(second.locator("#pay-said")).to_contain_text("You will not be charged twice")
    expect(second.locator("#pay-form")).to_be_hidden()
    visitor.page.reload()
    expect(visitor.page.locator("#pay-said")).to_contain_text("You will not be charged twice")
    check_accessible(visitor.page)
    stripe.release()
    visitor.wait_tracking()
    second.wait_for_url(re.compile(r"/orders/order_[0-9a-z]{26}$"))
    assert len(stripe.charges(order_id)) == 1


def test_a_lost_answer_of_stripe_is_no_second_charge(visit: Visit, stripe: StripeControl) -> None:
    visitor = visit()
    visitor.fill_cart()
    order_id = visitor.place()
    stripe.fault(kind="drop_after", method="POST", idempotency_key="^confirm:", times=3)
    visitor.pay()
    visitor.wait_tracking()
    assert len(stripe.charges(order_id)) == 1


def test_an_order_is_changed_before_it_is_paid(visit: Visit) -> None:
    visitor = visit()
    visitor.fill_cart()
    first = visitor.place()
    visitor.page.get_by_role("button", name="Change the order").click()
    expect(visitor.page.get_by_role("status").nth(1)).to_contain_text("You have not been charged")
    expect(visitor.page.locator(".cart-line")).to_have_count(2)
    second = visitor.place()
    assert second != first
    visitor.page.goto(f"/orders/{first}")
    expect(visitor.page.locator("h1")).to_have_text("This order was cancelled")


def test_a_payment_page_follows_an_order_that_ends_elsewhere(visit: Visit) -> None:
    visitor = visit()
    visitor.fill_cart()
    visitor.place()
    visitor.page.get_by_label("Card number").wait_for()
    other = visitor.tab()
    other.goto(visitor.page.url)
    other.get_by_role("button", name="Change the order").click()
    expect(visitor.page.locator("h1")).to_have_text("This order was cancelled")


def test_other_details_after_a_step_back_are_another_order(visit: Visit) -> None:
    visitor = visit()
    visitor.fill_cart()
    first = visitor.place()
    visitor.page.get_by_label("Card number").wait_for()
    visitor.page.go_back()
    assert visitor.place() == first  # the same cart and details: the same order
    visitor.page.get_by_label("Card number").wait_for()
    visitor.page.go_back()
    second = visitor.place(line1="14 MG Road")
    assert second != first
    visitor.pay()
    visitor.wait_tracking()
    expect(visitor.page.get_by_text("14 MG Road")).to_be_visible()


def test_without_javascript(visit: Visit) -> None:
    visitor = visit(javascript=False)
    page = visitor.page
    page.goto(f"/restaurants/{KITCHEN}")
    page.get_by_role("button", name="Add Masala dosa").click()
    page.get_by_role("button", name="Add one Masala dosa").first.click()
    page.get_by_role("button", name="Add Filter coffee").click()
    expect(page.locator(".cart-line")).to_have_count(2)
    order_id = visitor.place()
    assert "Paying needs JavaScript" in page.content()
    page.goto(f"/orders/{order_id}")
    assert headline(page) == "Your order is waiting for payment"
    page.get_by_role("link", name="Cancel this order").click()
    page.get_by_role("button", name="Cancel the order").click()
    visitor.wait_tracking()
    while headline(page) != "This order was cancelled":  # bounded by the test's own time-out
        page.reload()
    expect(page.get_by_text("You cancelled it.").first).to_be_visible()


def test_each_tap_counts(visit: Visit) -> None:
    page = visit().page
    page.goto(f"/restaurants/{KITCHEN}")
    # Faster than the page can follow: by the page's own script, in one go.
    page.evaluate(
        """() => {
          const tap = (name) => document.querySelector(`#stepper-menu-${name}-more`).click();
          for (const name of ["masala-dosa", "masala-dosa", "filter-coffee", "idli-plate"]) tap(name);
        }"""
    )
    expect(page.locator("#cart-said")).to_contain_text("4 dishes in your cart, ₹360.00")
    expect(page.locator(".cart-line")).to_have_count(3)


def tab_to(visitor: Visitor, name: str) -> None:
    """Press Tab until what is named has the focus, which everybody must be able to see."""
    page = visitor.page
    focused = page.locator(":focus")
    for _ in range(100):
        page.keyboard.press("Tab")
        if name in focused.evaluate("(one) => one.ariaLabel || one.innerText || one.id"):
            assert focused.evaluate("(one) => getComputedStyle(one).outlineStyle") != "none"
            return
    raise AssertionError(f"{name} can't be reached by keyboard")


def test_by_keyboard_alone(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(f"/restaurants/{KITCHEN}")
    tab_to(visitor, "Skip to main content")
    page.keyboard.press("Enter")
    tab_to(visitor, "Add Masala dosa")
    page.keyboard.press("Enter")
    # The button that was pressed is another one now, and still has the focus.
    expect(page.locator(":focus")).to_have_attribute("aria-label", "Add one Masala dosa")
    tab_to(visitor, "Go to checkout")
    page.keyboard.press("Enter")
    page.wait_for_url("**/checkout")
    for field in ("line1", "line2", "city", "postal_code", "name", "email", "phone"):
        tab_to(visitor, field)
        page.keyboard.type(DETAILS.get(field, ""))
    tab_to(visitor, "Continue to payment")
    page.keyboard.press("Enter")
    page.wait_for_url("**/pay")
    expect(page.get_by_role("button", name="Pay ₹120.00")).to_be_enabled()
    for field, typed in (("cc-number", DECLINED), ("cc-exp", "12/34"), ("cc-csc", "123")):
        tab_to(visitor, field)
        page.keyboard.type(typed)
    page.keyboard.press("Enter")
    expect(page.locator("#pay-wrong")).to_be_focused()
    tab_to(visitor, "cc-number")
    page.keyboard.press("Control+A")
    page.keyboard.type(VISA)
    page.keyboard.press("Enter")
    visitor.wait_tracking()


def test_long_words_fit_a_phone(visit: Visit) -> None:
    visitor = visit(width=360)
    visitor.fill_cart()
    order_id = visitor.place(name="Wolfeschlegelsteinhausenbergerdorff" * 2, line1="Donau" * 24)
    visitor.page.get_by_label("Card number").wait_for()
    check_fits(visitor.page)
    visitor.pay()
    visitor.wait_tracking()
    check_fits(visitor.page)
    kitchen, courier = visit(width=360), visit(width=360)
    kitchen.sign_in("Kitchen")
    for step in ("Accept", "Start cooking"):
        ticket = kitchen.page.locator(f"[data-ticket={order_id}]")
        press(ticket, step)
    courier.sign_in("Courier", "a-courier-with-a-name-as-long-as-names-may-be-but-no-longer")
    row = courier.page.locator(f"[data-ticket={order_id}]")
    press(row, "Take it")
    expect(row).to_contain_text("Wolfeschlegelsteinhausenbergerdorff")
    for other in (kitchen, courier):
        check_fits(other.page)


@pytest.mark.parametrize("expiry", ["1234", "12/34", "12 / 34", "12/2034", "122034", "1/34"])
def test_the_stand_ins_card_form_takes_an_expiry_as_people_write_it(
    browser: Browser, platform: Platform, expiry: str
) -> None:
    page = browser.new_page()
    page.set_content("<div id=card></div>")
    page.add_script_tag(url=f"{platform.endpoints.stripe}/v3/stripe.js")
    page.evaluate("""() => {
        window.card = Stripe("pk_test_x").elements({}).create("payment");
        window.card.mount("#card");
    }""")
    for label, value in (("Card number", VISA), ("Expiration", expiry), ("Security", "123")):
        page.get_by_label(label).press_sequentially(value)
    told = page.evaluate("({ complete: window.card.complete(), ...window.card.value() })")
    page.get_by_label("Expiration").fill("1334")
    assert page.evaluate("window.card.complete()") is False, "there is no month 13"
    assert page.evaluate("window.card.check().error.code") == "incomplete_payment_details"
    assert page.evaluate("document.activeElement.autocomplete") == "cc-exp"
    page.close()
    assert told["complete"], told
    assert int(told["exp_month"]) == int(expiry[: 1 if expiry == "1/34" else 2])
    assert told["exp_year"] in {"34", "2034"}
