"""The payment page against Stripe.js as Stripe serves it: its address, its policy, its calls."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import stripe
from playwright.sync_api import expect

from sandbox.card_numbers import DECLINED, THREE_D_SECURE_UNLESS_SET_UP, VISA
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S
from tests.pages.visitor import StripeControl, Visitor, check_accessible
from web.http.deps import StripeOrigins

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Request, Route

SCRIPT = Path(__file__).with_name("stripe_js.js").read_text()
FRAME = """<!doctype html><html lang="en"><title>Card</title><style>body { font: 1rem sans-serif }</style>
<label>Card number <input></label><label>Expiration date <input></label><label>Security code <input></label>
<script>
  const fields = [...document.querySelectorAll("input")];
  const tell = (told) => parent.postMessage(told, "*");
  addEventListener("input", () => {
    const [number, expiry, cvc] = fields.map((field) => field.value.replace(/\\s/g, ""));
    const [exp_month, exp_year] = expiry.split("/");
    tell({ card: { number, exp_month, exp_year, cvc } });
  });
  tell({ ready: true });
</script>"""
ANYWHERE = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A worker whose pages take Stripe.js from Stripe; what it sends itself goes to the stand-in."""
    settings = {"TIFFIN_STRIPE_JS_URL": StripeOrigins().script_url, "TIFFIN_CONFIRM_WAIT_S": "2"}
    with Platform(tmp_path_factory.mktemp("shop"), workers=1, settings=settings) as running:
        yield running


@pytest.fixture
def customer(browser: Browser, shop: Platform) -> Iterator[Visitor]:
    visitor = Visitor(browser, shop)
    serve_stripe(visitor, shop.endpoints.stripe)
    yield visitor
    visitor.leave()


def serve_stripe(visitor: Visitor, stand_in: str) -> None:
    """Answer for Stripe's hosts in this browser; the policy of the page is asked before."""

    def script(route: Route) -> None:
        assert route.request.url == StripeOrigins().script_url
        route.fulfill(body=SCRIPT, content_type="text/javascript")

    def frame(route: Route) -> None:
        route.fulfill(body=FRAME, content_type="text/html")

    def passed_on(route: Route) -> None:
        asked = route.request
        path = re.sub(r"^https://[^/]+", "", asked.url)
        headers = {
            name: value
            for name, value in asked.headers.items()
            if name in {"authorization", "content-type"}
        }
        request = urllib.request.Request(
            stand_in + path, asked.post_data_buffer, headers, method=asked.method
        )
        try:
            with urllib.request.urlopen(request, timeout=MAX_WAIT_S) as answer:
                status, body, kind = answer.status, answer.read(), answer.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            status, body, kind = error.code, error.read(), error.headers["Content-Type"]
        route.fulfill(status=status, body=body, content_type=kind, headers=ANYWHERE)

    visitor.context.route("https://js.stripe.com/**", frame)
    visitor.context.route("https://js.stripe.com/*/stripe.js", script)
    visitor.context.route("https://api.stripe.com/**", passed_on)
    visitor.context.route("https://hooks.stripe.com/**", passed_on)


def enter(customer: Visitor, card: str) -> None:
    """Into Stripe's frame."""
    form = customer.page.frame_locator("#payment-element iframe")
    form.get_by_label("Card number").fill(card)
    form.get_by_label("Expiration date").fill("12 / 34")
    form.get_by_label("Security code").fill("123")


def press_pay(customer: Visitor) -> None:
    customer.page.get_by_role("button", name="Pay ").click()


def bank(customer: Visitor) -> FrameLocator:
    return customer.page.frame_locator("iframe[title='3D Secure authentication']")


def calls(customer: Visitor) -> list[list[Any]]:
    found: list[list[Any]] = customer.page.evaluate("stripeCalls")
    return found


def names(customer: Visitor) -> list[str]:
    return [name for name, *_ in calls(customer) if name != "on"]


def test_stripe_js_is_of_the_apis_release() -> None:
    release = str(stripe.api_version).rsplit(".", 1)[1]
    assert StripeOrigins().script_url == f"https://js.stripe.com/{release}/stripe.js"


def test_declined_then_paid(customer: Visitor, shop: Platform) -> None:
    page = customer.page
    sent: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/api/payments/confirm"):
            sent.append(request.post_data or "")

    page.on("request", note)
    customer.fill_cart()
    order_id = customer.place()
    pay = page.get_by_role("button", name="Pay ₹165.00")
    expect(pay).to_be_enabled()  # only once Stripe's form is there
    assert names(customer) == ["Stripe", "elements", "create", "mount"]
    _, asked = calls(customer)[1]
    assert (asked["mode"], asked["amount"], asked["currency"]) == ("payment", 16500, "inr")
    check_accessible(page)
    press_pay(customer)  # an empty form: Stripe says what is missing, in its frame
    expect(pay).to_be_enabled()
    expect(page.locator("#pay-wrong")).to_be_hidden()
    enter(customer, DECLINED)
    press_pay(customer)
    expect(page.locator("#pay-wrong")).to_contain_text("Your card was declined.")
    enter(customer, VISA)
    press_pay(customer)
    customer.wait_tracking()
    assert len(StripeControl(shop).charges(order_id)) == 1
    # The card went to Stripe alone.
    assert len(sent) == 2
    assert all(card not in body for body in sent for card in (DECLINED, VISA))


def test_the_order_of_calls_and_what_they_carry(customer: Visitor) -> None:
    customer.fill_cart()
    order_id = customer.place()
    enter(customer, THREE_D_SECURE_UNLESS_SET_UP)
    press_pay(customer)
    bank(customer).get_by_role("button", name="Complete").wait_for()
    assert names(customer)[4:] == ["submit", "createConfirmationToken", "handleNextAction"]
    params = calls(customer)[-2][1]["params"]
    assert params["return_url"] == f"{customer.home}/orders/{order_id}"
    # Where it is delivered is no address of the card's.
    assert params["payment_method_data"] == {
        "billing_details": {"email": "asha@example.com", "phone": "+91 98000 00000"}
    }
    bank(customer).get_by_role("button", name="Complete").click()
    customer.wait_tracking()


def test_what_was_confirmed_elsewhere_is_not_asked_again(customer: Visitor) -> None:
    customer.fill_cart()
    order_id = customer.place()
    enter(customer, THREE_D_SECURE_UNLESS_SET_UP)
    press_pay(customer)
    question = bank(customer).get_by_role("button", name="Complete")
    question.wait_for()
    second = customer.tab()
    second.goto(f"/orders/{order_id}/pay")
    confirm = second.get_by_role("button", name="Confirm with your bank")
    confirm.wait_for()
    question.click()
    customer.wait_tracking()
    confirm.click()  # Stripe.js throws: there is nothing to confirm any more
    second.wait_for_url(re.compile(r"/orders/order_[0-9a-z]{26}$"))


def test_back_from_the_banks_page_no_secret_stays_in_the_address(customer: Visitor) -> None:
    customer.fill_cart()
    order_id = customer.place()
    enter(customer, VISA)
    press_pay(customer)
    customer.wait_tracking()
    returned = "payment_intent=pi_1&payment_intent_client_secret=pi_1_secret_2&redirect_status=x"
    customer.page.goto(f"/orders/{order_id}?{returned}")
    assert customer.page.url == f"{customer.home}/orders/{order_id}"


def test_without_stripe_js_the_page_says_so(browser: Browser, shop: Platform) -> None:
    visitor = Visitor(browser, shop, errors_allowed=True)  # what is not there stands in the console
    visitor.context.route("https://js.stripe.com/**", lambda route: route.abort())
    visitor.fill_cart()
    visitor.place()
    expect(visitor.page.get_by_role("alert")).to_contain_text("Stripe can't be reached")
    check_accessible(visitor.page)
    visitor.leave()


def test_the_policy_lets_in_stripe_alone(customer: Visitor) -> None:
    customer.fill_cart()
    customer.place()
    answer = customer.page.request.get(customer.page.url)
    assert answer.ok
    policy = dict(
        part.split(" ", 1)
        for part in answer.headers["content-security-policy"].split("; ")
        if " " in part
    )
    stripe_js = "https://js.stripe.com https://*.js.stripe.com"
    assert policy["script-src"] == f"'self' {stripe_js}"
    assert policy["connect-src"] == "'self' https://api.stripe.com"
    assert policy["frame-src"] == f"{stripe_js} https://hooks.stripe.com"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin-allow-popups"
