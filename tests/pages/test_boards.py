"""The boards of kitchens and couriers, with several tabs and hands on them."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.pages.visitor import Visit, check_accessible, check_fits, press


def test_from_the_kitchen_to_the_door(visit: Visit) -> None:
    customer = visit()
    order_id = customer.order_paid()
    kitchen = visit(worker=1)
    kitchen.page.goto("/kitchen")
    check_accessible(kitchen.page)  # which is the sign-in by now
    kitchen.sign_in_by_form("Kitchen")
    assert kitchen.page.url.endswith("/kitchen")
    ticket = kitchen.page.locator(f"[data-ticket={order_id}]")
    expect(ticket).to_contain_text("Masala dosa")
    check_accessible(kitchen.page)
    check_fits(kitchen.page)
    for step, status in (
        ("Accept", "CONFIRMED"),
        ("Start cooking", "PREPARING"),
        ("Mark as ready", "READY_FOR_PICKUP"),
    ):
        press(ticket, step)
        expect(ticket).to_have_attribute("data-status", status)
    expect(customer.page.locator("h1")).to_have_text("Packed and ready")

    courier = visit(width=360)
    courier.sign_in_by_form("Courier", "ravi")
    row = courier.page.locator(f"[data-ticket={order_id}]")
    expect(row).not_to_contain_text("MG Road")  # an address is for the one who brings it
    press(row, "Take it")
    expect(row).to_contain_text("12 MG Road")
    check_accessible(courier.page)
    check_fits(courier.page)
    press(row, "Picked up")
    expect(customer.page.locator("h1")).to_have_text("On its way to you")
    press(row, "Delivered")
    expect(row).to_have_count(0)
    expect(customer.page.locator("h1")).to_have_text("Delivered")
    expect(ticket).to_have_count(0)
    check_accessible(customer.page)


def test_two_tabs_of_a_kitchen_stay_right(visit: Visit) -> None:
    order_id = visit().order_paid()
    kitchen = visit(width=360)
    kitchen.sign_in("Kitchen")
    first, second = kitchen.page, kitchen.tab()
    second.goto("/kitchen")
    tickets = [tab.locator(f"[data-ticket={order_id}]") for tab in (first, second)]
    press(tickets[0], "Accept")
    expect(tickets[1]).to_have_attribute("data-status", "CONFIRMED")
    # The reasons stay open while the board asks for news.
    tickets[1].locator("summary").click()
    press(tickets[0], "Start cooking")
    expect(tickets[0]).to_have_attribute("data-status", "PREPARING")
    expect(tickets[1].get_by_label("Why?")).to_be_visible()
    check_fits(first)
    check_accessible(first)


def test_a_rejected_order_is_refunded(visit: Visit) -> None:
    customer = visit()
    order_id = customer.order_paid()
    kitchen = visit()
    kitchen.sign_in("Kitchen")
    ticket = kitchen.page.locator(f"[data-ticket={order_id}]")
    ticket.locator("summary").click()
    ticket.get_by_label("Why?").select_option("OUT_OF_STOCK")
    press(ticket, "Reject and refund the order")
    expect(ticket).to_have_count(0)
    expect(customer.page.locator("h1")).to_have_text("Cancelled and refunded")
    expect(
        customer.page.get_by_text("The restaurant could not take your order.").first
    ).to_be_visible()


def test_a_tap_that_comes_too_late_is_explained(visit: Visit) -> None:
    customer = visit()
    order_id = customer.order_paid()
    kitchen = visit(javascript=False)  # so that nothing brings the board up to date
    kitchen.sign_in("Kitchen")
    customer.page.get_by_role("link", name="Cancel this order").click()
    customer.page.get_by_role("button", name="Cancel the order").click()
    expect(customer.page.locator("h1")).to_have_text("Cancelled and refunded")
    ticket = kitchen.page.locator(f"[data-ticket={order_id}]")
    press(ticket, "Accept")
    expect(kitchen.page.get_by_role("alert")).to_be_visible()
    expect(ticket).to_have_count(0)


def test_a_role_sees_its_own_pages_alone(visit: Visit) -> None:
    courier = visit(errors_allowed=True)  # 403 stands in the console
    courier.sign_in("Courier", "asha")
    answer = courier.page.goto("/kitchen")
    assert answer
    assert answer.status == 403
    expect(courier.page.locator("h1")).to_have_text("You can't open this page")
