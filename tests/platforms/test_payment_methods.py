"""Payment methods that are no cards, on the whole platform: a redirect, and a debit that takes days."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest

from models.times import from_rfc3339
from sandbox.customer import Customer
from sandbox.platform import Platform
from tests.support.platforms import PATIENT
from tests.support.waiting import until

DEADLINE_S: Final = 15
MENU: Final = """
id = "{id}"
name = "{name}"
cuisine = "Local"
city = "Somewhere"
currency = "{currency}"
dishes = [
  {{ id = "soup", name = "Soup", price = 1450 }},
  {{ id = "stew", name = "Stew", price = 2350 }},
]
"""
BRUSSELS, BROOKLYN = "moules-brussels", "diner-brooklyn"
SETTINGS: Final = PATIENT | {
    "TIFFIN_PAYMENT_METHODS": "card,bancontact,us_bank_account",
    "TIFFIN_PAYMENT_DEADLINE_S": str(DEADLINE_S),
    "TIFFIN_LATE_PAYMENT_S": "0",
    "TIFFIN_KITCHEN_DEADLINE_S": "36000",
    "TIFFIN_CONFIRM_WAIT_S": "1",
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One that takes euros and dollars; debits settle on request alone."""
    folder, menus = tmp_path_factory.mktemp("methods"), tmp_path_factory.mktemp("menus")
    for id, name, currency in ((BRUSSELS, "Moules", "EUR"), (BROOKLYN, "Diner", "USD")):
        text = MENU.format(id=id, name=name, currency=currency)
        (menus / f"{id}.toml").write_text(text)
    settings = SETTINGS | {"TIFFIN_CATALOGUE_DIR": str(menus)}
    with Platform(folder, workers=1, settings=settings, settle_delay_s=-1) as running:
        yield running


class Payer:
    """A customer who pays with another method than a card."""

    def __init__(self, platform: Platform, customer: Customer) -> None:
        self.ends, self.customer = platform.endpoints, customer

    async def control(self, path: str, body: Any = None, method: str = "POST") -> Any:
        url = self.ends.control + path
        async with self.customer.session.request(method, url, json=body) as answer:
            found = await answer.json()
            assert answer.status == 200, found
            return found

    async def confirm(self, means: str) -> dict[str, Any]:
        token = await self.control("/confirmation_token", {"card": means})
        body = {"orderId": self.customer.order_id, "confirmationToken": token["id"]}
        key = str(uuid.uuid4())
        _, answer = await self.customer.call("POST", "/api/payments/confirm", body, key)
        return dict(answer)

    async def payment(self) -> dict[str, Any]:
        _, answer = await self.customer.call("GET", f"/api/payments/{self.customer.order_id}")
        return dict(answer)

    async def intent(self) -> str:
        return str((await self.payment())["stripeIntentId"])

    async def mails(self, count: int) -> list[str]:
        """Subjects of the mails about the order, once there are so many."""
        url = f"{self.ends.mailbox}/messages"

        async def found() -> list[str] | None:
            params = {"order": self.customer.order_id}
            async with self.customer.session.get(url, params=params) as answer:
                mails = [m for m in (await answer.json())["messages"] if m.get("subject")]
            return [str(m["subject"]) for m in mails] if len(mails) >= count else None

        return await until(found, f"{count} mails")

    async def events(self) -> list[str]:
        return [entry["eventType"] for entry in await self.customer.timeline()]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def payer(platform: Platform, stack: AsyncExitStack, restaurant: str) -> Payer:
    made = Customer(platform.endpoints.workers[0], platform.endpoints.stripe)
    customer = await stack.enter_async_context(made)
    await customer.open_payment(await customer.basket(restaurant))
    return Payer(platform, customer)


async def offered(someone: Payer) -> list[str]:
    """payment_method_types of the intent, as an operator sees Stripe's object."""
    secret = someone.customer.order["clientSecret"]
    url = f"{someone.ends.stripe}/v1/payment_intents/{secret.partition('_secret_')[0]}"
    params = {"client_secret": secret, "key": someone.customer.order["publishableKey"]}
    async with someone.customer.session.get(url, params=params) as answer:
        return list((await answer.json())["payment_method_types"])


@pytest.mark.parametrize("outcome", ["succeed", "fail"])
async def test_the_customer_goes_to_the_banks_page_and_comes_back(
    platform: Platform, stack: AsyncExitStack, outcome: str
) -> None:
    someone = await payer(platform, stack, BRUSSELS)
    customer = someone.customer
    assert await offered(someone) == ["card", "bancontact"], "what euros pay of the setting's list"
    answer = await someone.confirm("bancontact")
    assert (answer["status"], answer["nextAction"]) == ("REQUIRES_ACTION", "redirect_to_url")
    page = f"{someone.ends.stripe}/3ds/{await someone.intent()}"
    form = {"outcome": outcome}
    async with customer.session.post(page, data=form, allow_redirects=False) as back:
        assert back.status == 303
        assert f"/orders/{customer.order_id}?payment_intent=" in back.headers["Location"]
    if outcome == "succeed":
        order = await customer.wait_status("PENDING")
        assert order["payment"]["status"] == "COMPLETED"
        return
    await customer.wait_status("PAYMENT_FAILED")
    assert (await customer.confirm())["status"] == "COMPLETED", "then by card"
    await customer.wait_status("PENDING")


async def debited(platform: Platform, stack: AsyncExitStack) -> Payer:
    """Somebody whose bank has been asked."""
    someone = await payer(platform, stack, BROOKLYN)
    assert await offered(someone) == ["card", "us_bank_account"]
    await someone.confirm("pm_usBankAccount_success")
    intent = await someone.intent()

    async def is_begun() -> bool | None:
        found = (await someone.control("/ledger", method="GET"))["payment_intents"][intent]
        return found["status"] == "processing" or None

    await until(is_begun, "Stripe to begin")
    return someone


async def expired(someone: Payer) -> None:
    """Wait until the deadline has passed, by Stripe's whole seconds too; the bank is still at it."""
    order = await someone.customer.wait_until(lambda seen: not seen["deadlines"], "the deadline")
    assert order["status"] == "PAYMENT_PENDING"
    over_ms = from_rfc3339(order["reached"]["PAYMENT_PENDING"]) + (DEADLINE_S + 1) * 1000

    async def is_over() -> bool:
        return time.time() * 1000 > over_ms

    await until(is_over, "the second after the deadline")


async def settle(someone: Payer, outcome: str) -> None:
    await someone.control("/settle", {"payment_intent": await someone.intent(), "outcome": outcome})


async def test_a_debit_that_succeeds_in_time_is_cooked(
    platform: Platform, stack: AsyncExitStack
) -> None:
    someone = await debited(platform, stack)
    await settle(someone, "succeed")
    order = await someone.customer.wait_status("PENDING")
    assert order["payment"]["status"] == "COMPLETED"


async def test_a_debit_that_succeeds_after_the_order_expired_goes_back(
    platform: Platform, stack: AsyncExitStack
) -> None:
    someone = await debited(platform, stack)
    await expired(someone)
    await settle(someone, "succeed")
    order = await someone.customer.wait_until(
        lambda seen: "CANCELLED" in seen["reached"], "its end"
    )
    assert order["cancelReason"] == "PAID_TOO_LATE"
    assert order["deadlines"] == {}
    intent = await someone.intent()
    (refund,) = await refunds_at_stripe(someone, intent)
    await someone.control("/settle", {"refund": refund, "outcome": "succeed"})
    order = await someone.customer.wait_status("REFUNDED")
    assert order["payment"]["net"]["amount"] == 0
    assert "ORDER_CREATED" not in await someone.events()
    subjects = await someone.mails(3)
    assert any("is being refunded" in subject for subject in subjects), subjects
    assert any("was cancelled" in subject for subject in subjects), subjects


async def refunds_at_stripe(someone: Payer, intent: str) -> list[str]:
    """Ids of the payment's refunds, once there is one."""

    async def found() -> list[str] | None:
        refunds = (await someone.payment())["refunds"]
        return [r["stripeRefundId"] for r in refunds if r.get("stripeRefundId")] or None

    return await until(found, f"a refund of {intent}")


async def test_a_debit_that_fails_after_the_order_expired_ends_it(
    platform: Platform, stack: AsyncExitStack
) -> None:
    someone = await debited(platform, stack)
    await expired(someone)
    await settle(someone, "fail")
    order = await someone.customer.wait_status("CANCELLED")
    assert order["cancelReason"] == "PAYMENT_EXPIRED"
    subjects = await someone.mails(1)
    assert all("was cancelled" in subject for subject in subjects), "nobody is asked to pay again"
