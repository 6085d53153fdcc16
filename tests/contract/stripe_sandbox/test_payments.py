"""Payments: each test card, 3-D Secure, bank debits, tokens, capture, cancel and concurrency."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import stripe

from tests.contract.stripe_sandbox.stripe_client import Endpoint, StripeShop, refused
from tests.support.waiting import until_true

CANNOT = "payment_intent_unexpected_state"


@pytest.mark.parametrize(
    "card",
    ["4242424242424242", "5555555555554444", "378282246310005", "4000003560000008"],
)
async def test_a_card_that_pays(shop: StripeShop, card: str) -> None:
    token = await shop.control("POST", "/confirmation_token", {"card": card})
    intent = await shop.create(confirm=True, confirmation_token=token["id"])
    assert (intent.status, intent.amount_received) == ("succeeded", 2500)
    charge = await shop.client.v1.charges.retrieve_async(str(intent.latest_charge))
    assert (charge.status, charge.paid, charge.captured) == ("succeeded", True, True)
    assert await shop.event_types() == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]
    async with shop.http.get(str(charge.receipt_url)) as receipt:
        page = await receipt.text()
    assert "25.00 USD" in page
    assert card not in page


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000009987", "card_declined", "lost_card"),
        ("4000000000009979", "card_declined", "stolen_card"),
        ("4000000000000069", "expired_card", "expired_card"),
        ("4000000000000127", "incorrect_cvc", "incorrect_cvc"),
        ("4000000000000119", "processing_error", "processing_error"),
        ("4000000000000341", "card_declined", "generic_decline"),
        ("4111111111111111", "card_declined", "test_mode_live_card"),
    ],
)
async def test_a_card_that_declines_and_then_another_that_pays(
    shop: StripeShop, card: str, code: str, decline_code: str
) -> None:
    intent = await shop.create()
    token = await shop.control("POST", "/confirmation_token", {"card": card})
    error = await refused(
        shop.client.v1.payment_intents.confirm_async(intent.id, {"confirmation_token": token["id"]})
    )
    assert isinstance(error, stripe.CardError)
    assert (error.http_status, error.code) == (402, code)
    assert error.json_body["error"]["decline_code"] == decline_code

    failed: Any = await shop.retrieve(intent.id)
    assert (failed.status, failed.payment_method) == ("requires_payment_method", None)
    assert failed.last_payment_error.decline_code == decline_code
    assert failed.last_payment_error.charge == failed.latest_charge
    assert error.json_body["error"]["payment_intent"]["id"] == intent.id
    charge: Any = await shop.client.v1.charges.retrieve_async(failed.latest_charge)
    assert (charge.status, charge.failure_code) == ("failed", code)

    paid = await shop.confirm(intent.id, "pm_card_visa")
    assert (paid.status, paid.last_payment_error) == ("succeeded", None)
    assert (await shop.ledger(intent.id))["charges"] == {"succeeded": 1, "pending": 0, "failed": 1}


@pytest.mark.parametrize("card", ["4000002500003155", "4000000000003220", "4000002760003184"])
async def test_3d_secure_completed(shop: StripeShop, card: str) -> None:
    token = await shop.control("POST", "/confirmation_token", {"card": card})
    intent: Any = await shop.create(confirm=True, confirmation_token=token["id"])
    assert (intent.status, intent.latest_charge) == ("requires_action", None)
    assert intent.next_action.type == "use_stripe_sdk"
    await shop.control("POST", f"/3ds/{intent.id}", {"outcome": "succeed"})
    assert (await shop.retrieve(intent.id)).status == "succeeded"
    assert await shop.event_types() == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]
    await shop.control("POST", f"/3ds/{intent.id}", {"outcome": "succeed"}, status=400)


async def test_3d_secure_failed_leaves_no_charge(shop: StripeShop) -> None:
    intent = await shop.pay("pm_card_threeDSecure2Required")
    await shop.control("POST", f"/3ds/{intent.id}", {"outcome": "fail"})
    failed: Any = await shop.retrieve(intent.id)
    assert (failed.status, failed.latest_charge) == ("requires_payment_method", None)
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"
    assert (await shop.event_types())[-1] == "payment_intent.payment_failed"
    assert (await shop.confirm(intent.id, "pm_card_visa")).status == "succeeded"


async def test_3d_secure_completed_and_then_declined(shop: StripeShop) -> None:
    method = "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"
    intent = await shop.pay(method)
    await shop.control("POST", f"/3ds/{intent.id}", {"outcome": "succeed"})
    failed: Any = await shop.retrieve(intent.id)
    assert failed.last_payment_error.decline_code == "insufficient_funds"
    assert failed.last_payment_error.charge == failed.latest_charge is not None


@pytest.mark.parametrize(("button", "status"), [("succeed", "succeeded"), ("fail", "failed")])
async def test_the_3d_secure_page_returns_the_customer(
    shop: StripeShop, button: str, status: str
) -> None:
    intent: Any = await shop.pay(
        "pm_card_threeDSecure2Required", return_url="https://shop.example/done?order=7"
    )
    action = intent.next_action.redirect_to_url
    async with shop.http.get(action.url) as page:
        text = await page.text()
    assert "Complete authentication" in text
    assert "<script" not in text
    async with shop.http.post(
        action.url, data={"outcome": button}, allow_redirects=False
    ) as answer:
        assert answer.status == 303
        location = answer.headers["Location"]
    assert location.startswith(f"https://shop.example/done?order=7&payment_intent={intent.id}&")
    assert location.endswith(f"redirect_status={status}")


async def test_a_return_url_is_needed_where_a_redirect_could_come(shop: StripeShop) -> None:
    intent = await shop.create(automatic_payment_methods={"enabled": True})
    error = await refused(shop.confirm(intent.id, "pm_card_visa"))
    assert error.param == "return_url"
    with_url = await shop.confirm(intent.id, "pm_card_visa", return_url="https://shop.example/done")
    assert with_url.status == "succeeded"


@pytest.mark.parametrize(
    ("account", "outcome", "status", "code"),
    [
        ("success", None, "succeeded", None),
        ("success", "fail", "requires_payment_method", "no_account"),
        ("accountClosed", None, "requires_payment_method", "account_closed"),
        ("insufficientFunds", None, "requires_payment_method", "insufficient_funds"),
        ("processing", "succeed", "succeeded", None),
    ],
)
async def test_a_bank_debit_settles_on_request(
    shop: StripeShop, account: str, outcome: str | None, status: str, code: str | None
) -> None:
    intent = await shop.pay(f"pm_usBankAccount_{account}")
    assert intent.status == "processing"
    assert (await shop.event_types())[1:] == ["payment_intent.processing", "charge.pending"]
    if account != "processing":
        error = await refused(shop.client.v1.payment_intents.cancel_async(intent.id))
        assert error.code == CANNOT
    await shop.control("POST", "/settle", {"payment_intent": intent.id, "outcome": outcome})
    settled: Any = await shop.retrieve(intent.id)
    assert settled.status == status
    assert (settled.last_payment_error and settled.last_payment_error.code) == code


async def test_a_bank_debit_settles_by_itself_after_the_delay(
    shop: StripeShop, endpoint: Endpoint
) -> None:
    await shop.control("POST", "/settings", {"settle_delay_s": 0.01})
    intent = await shop.pay("pm_usBankAccount_success")
    await until_true(lambda: "payment_intent.succeeded" in endpoint.types())
    assert (await shop.retrieve(intent.id)).status == "succeeded"


async def test_a_confirmation_token_is_used_once(shop: StripeShop) -> None:
    token = await shop.control("POST", "/confirmation_token", {"card": "pm_card_visa"})
    paid = await shop.create(confirm=True, confirmation_token=token["id"])
    used = await shop.client.v1.confirmation_tokens.retrieve_async(token["id"])
    assert used.payment_intent == paid.id
    second = await shop.create()
    confirm = shop.client.v1.payment_intents.confirm_async
    error = await refused(confirm(second.id, {"confirmation_token": token["id"]}))
    assert (error.http_status, error.param) == (400, "confirmation_token")
    assert (await shop.ledger(second.id))["charges"]["succeeded"] == 0

    late = await shop.control("POST", "/confirmation_token", {"card": "pm_card_visa"})
    await shop.control("POST", "/expire", {"confirmation_token": late["id"]})
    assert "expired" in str(await refused(confirm(second.id, {"confirmation_token": late["id"]})))
    bad = await shop.control("POST", "/confirmation_token", {"card": "4242424242424241"}, 400)
    assert bad["error"]["code"] == "incorrect_number"


async def test_capture_takes_all_or_a_part_or_expires(shop: StripeShop) -> None:
    v1 = shop.client.v1.payment_intents
    whole, part, none = [await shop.pay(capture_method="manual") for _ in range(3)]
    assert (whole.status, whole.amount_capturable) == ("requires_capture", 2500)
    assert (await v1.capture_async(whole.id)).amount_received == 2500
    too_much = await refused(v1.capture_async(part.id, {"amount_to_capture": 2501}))
    assert too_much.param == "amount_to_capture"
    captured = await v1.capture_async(part.id, {"amount_to_capture": 700})
    assert (captured.status, captured.amount_received) == ("succeeded", 700)
    await shop.control("POST", "/expire", {"payment_intent": none.id})
    expired = await shop.retrieve(none.id)
    assert (expired.status, expired.cancellation_reason) == ("canceled", "automatic")
    assert (await refused(v1.capture_async(none.id))).code == CANNOT
    totals = (await shop.control("GET", "/ledger"))["totals"]
    assert totals["by_currency"]["usd"]["captured"] == 3200


async def test_what_can_be_cancelled(shop: StripeShop) -> None:
    cancel = shop.client.v1.payment_intents.cancel_async
    cancellable = [
        await shop.create(),
        await shop.create(payment_method="pm_card_visa"),
        await shop.pay("pm_card_threeDSecure2Required"),
        await shop.pay(capture_method="manual"),
        # Stays in processing for ever: made to try just this.
        await shop.pay("pm_usBankAccount_processing"),
    ]
    for intent in cancellable:
        gone = await cancel(intent.id, {"cancellation_reason": "requested_by_customer"})
        assert (gone.status, gone.cancellation_reason) == ("canceled", "requested_by_customer")
        assert (await refused(shop.confirm(intent.id, "pm_card_visa"))).code == CANNOT
        assert (await refused(cancel(intent.id))).code == CANNOT
        assert (await shop.ledger(intent.id))["captured"] == 0
    paid = await shop.pay()
    error = await refused(cancel(paid.id))
    assert (error.http_status, error.code) == (400, CANNOT)
    assert error.json_body["error"]["payment_intent"]["status"] == "succeeded"
    wrong = await refused(cancel(paid.id, {"cancellation_reason": "expired"}))
    assert wrong.param == "cancellation_reason"


async def test_update(shop: StripeShop) -> None:
    update = shop.client.v1.payment_intents.update_async
    intent = await shop.create()
    assert (await update(intent.id, {"amount": 3000, "description": "lunch"})).amount == 3000
    assert (await refused(update(intent.id, {"amount": 10}))).code == "amount_too_small"
    paid = await shop.confirm(intent.id, "pm_card_visa")
    assert paid.amount_received == 3000
    assert (await refused(update(intent.id, {"amount": 4000}))).code == CANNOT
    assert (await update(intent.id, {"description": ""})).description is None


async def test_concurrent_confirms_charge_once(shop: StripeShop) -> None:
    intent = await shop.create()
    answers = await asyncio.gather(
        *(shop.confirm(intent.id, "pm_card_visa") for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(answer, stripe.PaymentIntent) for answer in answers) == 1
    assert {a.code for a in answers if isinstance(a, stripe.InvalidRequestError)} == {CANNOT}
    assert (await shop.ledger(intent.id))["charges"]["succeeded"] == 1


async def test_a_confirm_racing_a_cancel_ends_as_one_of_them(shop: StripeShop) -> None:
    for _ in range(5):
        intent = await shop.create()
        answers = await asyncio.gather(
            shop.confirm(intent.id, "pm_card_visa"),
            shop.client.v1.payment_intents.cancel_async(intent.id),
            return_exceptions=True,
        )
        won = [a for a in answers if isinstance(a, stripe.PaymentIntent)]
        assert len(won) == 1
        assert (await shop.retrieve(intent.id)).status == won[0].status
        paid = won[0].status == "succeeded"
        assert (await shop.ledger(intent.id))["captured"] == (2500 if paid else 0)


async def test_lists_are_pages_newest_first(shop: StripeShop) -> None:
    v1 = shop.client.v1.payment_intents
    made = [(await shop.create()).id for _ in range(5)][::-1]
    first = await v1.list_async({"limit": 2})
    assert ([i.id for i in first.data], first.has_more) == (made[:2], True)
    rest = await v1.list_async({"limit": 3, "starting_after": made[1]})
    assert ([i.id for i in rest.data], rest.has_more) == (made[2:], False)
    back = await v1.list_async({"limit": 2, "ending_before": made[3]})
    assert ([i.id for i in back.data], back.has_more) == (made[1:3], True)
    assert [i.id async for i in first.auto_paging_iter()] == made
    assert (await refused(v1.list_async({"limit": 101}))).param == "limit"
    assert (await refused(v1.list_async({"starting_after": "pi_none"}))).code == "resource_missing"
    charged = await shop.pay()
    await shop.pay()
    charges = await shop.client.v1.charges.list_async({"payment_intent": charged.id})
    assert [c.id for c in charges.data] == [charged.latest_charge]
