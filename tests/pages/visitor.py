"""People at their browsers: a visitor, what a visitor does, and what no page may show."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from axe_playwright_python.sync_playwright import Axe

from app.settings import SANDBOX_TOKEN_KEY
from sandbox.card_numbers import VISA
from sandbox.customer import Customer
from sandbox.processes import MAX_WAIT_S
from web.http import auth
from web.http.tokens import DevelopmentStaff, Role

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Response

    from sandbox.platform import Platform

DETAILS = {
    "line1": "12 MG Road", "city": "Bengaluru", "postal_code": "560001", "name": "Asha Rao",
    "email": "asha@example.com", "phone": "+91 98000 00000",
}  # fmt: skip
KITCHEN = "annapurna-bengaluru"
HOMES = {Role.KITCHEN: "/kitchen", Role.COURIER: "/courier", Role.OPERATOR: "/ops"}
AXE = Axe()


class Visitor:
    """One browser profile on one worker; `page` is its first tab."""

    def __init__(
        self,
        browser: Browser,
        platform: Platform,
        *,
        worker: int = 0,
        width: int = 1440,
        javascript: bool = True,
        errors_allowed: bool = False,
    ) -> None:
        """errors_allowed: the test breaks connections, which Chromium's console tells."""
        self.platform = platform
        self.home = platform.endpoints.workers[worker]
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            java_script_enabled=javascript,
            base_url=self.home,
        )
        self.context.set_default_timeout(MAX_WAIT_S * 1000)
        self.errors: list[str] = []
        self.errors_allowed = errors_allowed
        self.page = self.tab()

    def tab(self) -> Page:
        """Another tab of the same profile."""
        page = self.context.new_page()
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        page.on("response", self._look)
        return page

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.errors.append(text)

    def _look(self, response: Response) -> None:
        """Every page of ours has a strict policy."""
        kind = response.headers.get("content-type", "")
        if response.url.startswith(self.home) and kind.startswith("text/html"):
            policy = response.headers.get("content-security-policy", "")
            if not policy.startswith("default-src 'none'") or "unsafe" in policy:
                self.errors.append(f"policy of {response.url}: {policy}")

    def leave(self) -> None:
        """Close the browser; raises AssertionError if something was wrong on any page."""
        self.context.close()
        assert self.errors_allowed or not self.errors, self.errors

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def fill_cart(self, restaurant: str = KITCHEN) -> None:
        """Two dishes."""
        self.page.goto(f"/restaurants/{restaurant}")
        for name in ("Add Masala dosa", "Add Filter coffee"):
            self.page.get_by_role("button", name=name).click()
        self.page.locator(".cart-line").nth(1).wait_for(state="attached")

    def place(self, **details: str) -> str:
        """From the cart to the payment; gives the order's id."""
        self.page.goto("/checkout")
        for field, value in {**DETAILS, **details}.items():
            self.page.locator(f"#{field}").fill(value)
        self.page.get_by_role("button", name="Continue to payment").click()
        self.page.wait_for_url("**/pay")
        return self.order_id

    @property
    def order_id(self) -> str:
        """The order whose page is open."""
        return self.page.url.split("/orders/")[1].split("/")[0]

    def enter_card(self, card: str = VISA) -> None:
        """Fill Stripe's form."""
        self.page.get_by_label("Card number").fill(card)
        self.page.get_by_label("Expiration date").fill("12 / 34")
        self.page.get_by_label("Security code").fill("123")

    def pay(self, card: str = VISA) -> None:
        """Enter the card and press the button."""
        self.enter_card(card)
        self.page.get_by_role("button", name="Pay ").click()

    def wait_tracking(self) -> None:
        """Until the order's own page is there."""
        self.page.wait_for_url(re.compile(r"/orders/order_[0-9a-z]{26}$"))

    def order_paid(self) -> str:
        """An order that a kitchen has to accept, placed and paid over the API; its page is open."""
        order_id, token = order_over_api(self.home, self.platform.endpoints.stripe)
        self._add_cookie(auth.ORDER_COOKIE + order_id.removeprefix("order_"), token)
        self.page.goto(f"/orders/{order_id}")
        return order_id

    def sign_in(self, role: str, name: str = "demo") -> None:
        """As staff, with a token of the sandbox; the role's own page is open."""
        of_role = Role(role.lower())
        restaurant = KITCHEN if of_role is Role.KITCHEN else None
        staff = DevelopmentStaff(SANDBOX_TOKEN_KEY, sandbox=True)
        self._add_cookie(auth.STAFF_COOKIE, staff.issue(of_role, name, restaurant))
        self.page.goto(HOMES[of_role])

    def sign_in_by_form(self, role: str, name: str = "demo") -> None:
        """As staff, through the sandbox's form."""
        self.page.goto("/login")
        self.page.get_by_role("radio", name=role).check()
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: not url.endswith("/login"))

    def _add_cookie(self, name: str, value: str) -> None:
        self.context.add_cookies([{"name": name, "value": value, "url": self.home}])


Visit = Callable[..., Visitor]
"""The fixture `visit`: makes visitors, with Visitor's options."""


def operator(visit: Visit, **options: object) -> Page:
    """The overview, opened by an operator of her own."""
    visitor = visit(**options)
    visitor.sign_in("Operator", "olga")
    return visitor.page


def press(ticket: Locator, name: str) -> None:
    """Press a ticket's button on a live board.

    Pressed once more when the board says that the ticket had just moved under the hand.
    """
    moved = ticket.page.get_by_text("The list has just moved. Press again.")
    ticket.get_by_role("button", name=name).click()
    while moved.is_visible():
        moved.evaluate("told => { told.textContent = ''; }")
        ticket.get_by_role("button", name=name).click()


def order_over_api(worker: str, stripe: str) -> tuple[str, str]:
    """Place and pay two dishes of the kitchen's; gives the order's id and token."""

    async def order() -> tuple[str, str]:
        async with Customer(worker, stripe) as customer:
            items = [{"dishId": dish, "quantity": 1} for dish in ("masala-dosa", "filter-coffee")]
            await customer.open_payment({**await customer.basket(KITCHEN), "items": items})
            await customer.confirm()
            await customer.wait_status("PENDING")
            return customer.order_id, customer.token

    # Playwright's own event loop runs in this thread.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, order()).result()


def check_accessible(page: Page) -> None:
    """Axe finds nothing serious on the page as it is; raises AssertionError with what it found."""
    found = AXE.run(page).response["violations"]
    bad = [
        (one["id"], one["help"], [node["html"][:160] for node in one["nodes"][:3]])
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
    assert not bad, bad


def check_fits(page: Page) -> None:
    """Nothing makes the page wider than its window."""
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{page.url} is {wide} px too wide"


def headline(page: Page) -> str:
    """What the page says first."""
    return page.locator("h1").inner_text()


class StripeControl:
    """Stripe's stand-in, asked behind the pages' back."""

    def __init__(self, platform: Platform) -> None:
        self.control, self.api = platform.endpoints.control, platform.endpoints.stripe

    def fault(self, **fault: Any) -> None:
        """Arm a fault of Stripe's API."""
        _send(f"{self.control}/faults", "POST", fault)

    def settle_after(self, delay_s: float | None) -> None:
        """When bank debits and pending refunds settle by themselves; None: only when told."""
        _send(f"{self.control}/settings", "POST", {"settle_delay_s": delay_s})

    def release(self) -> None:
        """Let held requests go."""
        _send(f"{self.control}/faults/release", "POST", {})

    def settle_refund(self, order_id: str, outcome: str) -> None:
        """Let the bank decide on an order's refund, once it is there: "succeed" or "fail"."""
        charges = {charge["id"] for charge in self.charges(order_id)}
        until = time.monotonic() + MAX_WAIT_S
        while time.monotonic() < until:
            for refund in _send(f"{self.api}/v1/refunds?limit=100", "GET", None)["data"]:
                if refund["charge"] in charges and refund["status"] == "pending":
                    body = {"refund": refund["id"], "outcome": outcome}
                    _send(f"{self.control}/settle", "POST", body)
                    return
            time.sleep(0.1)
        raise TimeoutError("no refund of the order waits for the bank")

    def charges(self, order_id: str) -> list[dict[str, Any]]:
        """What an order was charged, successful ones alone."""
        found = _send(f"{self.api}/v1/charges?limit=100", "GET", None)["data"]
        return [c for c in found if c["metadata"].get("orderId") == order_id and c["paid"]]


def _send(url: str, method: str, body: Any) -> Any:
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": "Bearer sk_test_tiffin_sandbox",
        },
    )
    with urllib.request.urlopen(request, timeout=MAX_WAIT_S) as answer:
        return json.loads(answer.read() or b"null")
