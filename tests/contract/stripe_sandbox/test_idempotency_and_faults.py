"""Idempotency keys as Stripe keeps them, and every fault, with what the SDK makes of each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import stripe

from tests.contract.stripe_sandbox.stripe_client import StripeShop, refused
from tests.support.waiting import until_true


def impatient(shop: StripeShop, retries: int = 0, timeout_s: float = 0.3) -> stripe.StripeClient:
    """A client that gives up soon."""
    return stripe.StripeClient(
        "sk_test_tiffin",
        base_addresses={"api": shop.sandbox.base_url},
        http_client=stripe.HTTPXClient(timeout=timeout_s),
        max_network_retries=retries,
    )


def replayed(answer: Any) -> bool:
    return "idempotent-replayed" in {name.lower() for name in answer.last_response.headers}


async def test_the_same_key_and_body_replay_the_first_answer(shop: StripeShop) -> None:
    first = await shop.create(key="pi:order_1:1")
    again = await shop.create(key="pi:order_1:1")
    assert (again.id, replayed(first), replayed(again)) == (first.id, False, True)
    await shop.confirm(first.id, "pm_card_visa", key="confirm:1")
    # The stored answer, not the object as it is now.
    assert (await shop.create(key="pi:order_1:1")).status == "requires_payment_method"
    assert (await shop.confirm(first.id, "pm_card_visa", key="confirm:1")).status == "succeeded"
    assert (await shop.ledger(first.id))["charges"]["succeeded"] == 1
    assert len((await shop.client.v1.payment_intents.list_async()).data) == 1


async def test_another_body_or_path_is_an_error(shop: StripeShop) -> None:
    intent = await shop.create(key="k")
    for call in (
        shop.create(key="k", amount=2600),
        shop.confirm(intent.id, "pm_card_visa", key="k"),
    ):
        error = await refused(call)
        assert isinstance(error, stripe.IdempotencyError)
        assert error.http_status == 400
    assert (await shop.retrieve(intent.id)).status == "requires_payment_method"


async def test_a_key_in_use_is_a_conflict(shop: StripeShop) -> None:
    intent = await shop.create()
    await shop.fault("hold", method="POST", path="/confirm$")
    first = asyncio.create_task(shop.confirm(intent.id, "pm_card_visa", key="confirm:1"))
    faults = shop.sandbox.api.faults
    await until_true(lambda: faults.all()[0].hits == 1)
    error = await refused(shop.confirm(intent.id, "pm_card_visa", key="confirm:1"))
    # The SDK has no class of its own for it and leaves its `code` empty.
    assert isinstance(error, stripe.APIError)
    assert error.http_status == 409
    assert error.json_body["error"]["code"] == "idempotency_key_in_use"
    assert await shop.control("POST", "/faults/release", {}) == {"released": 1}
    assert (await first).status == "succeeded"
    assert replayed(await shop.confirm(intent.id, "pm_card_visa", key="confirm:1"))


async def test_a_decline_and_a_state_error_are_stored(shop: StripeShop) -> None:
    intent = await shop.create()
    for _ in range(2):
        error = await refused(shop.confirm(intent.id, "pm_card_visa_chargeDeclined", key="c:1"))
        assert error.code == "card_declined"
    assert (await shop.ledger(intent.id))["charges"]["failed"] == 1
    refund = shop.client.v1.refunds.create_async
    body: Any = {"payment_intent": intent.id}
    await refused(refund(body, {"idempotency_key": "r:1"}))
    await shop.confirm(intent.id, "pm_card_visa", key="c:2")
    stale = await refused(refund(body, {"idempotency_key": "r:1"}))
    assert "successful charge" in str(stale)
    assert (await refund(body, {"idempotency_key": "r:2"})).status == "succeeded"


async def test_what_fails_validation_is_not_stored(shop: StripeShop) -> None:
    await refused(shop.create(key="k", amount=1))
    await refused(shop.create(key="k", surprise=1))
    assert (await shop.create(key="k")).status == "requires_payment_method"


async def test_keys_expire(shop: StripeShop) -> None:
    first = await shop.create(key="k")
    assert await shop.control("POST", "/expire", {"idempotency_key": "k"}) == {"expired": 1}
    second = await shop.create(key="k")
    assert second.id != first.id
    assert await shop.control("POST", "/expire", {"idempotency_key": "*"}) == {"expired": 1}


@pytest.mark.parametrize(("kind", "captured"), [("error_500_before", 0), ("error_500_after", 2500)])
async def test_a_500_is_stored_for_its_key(shop: StripeShop, kind: str, captured: int) -> None:
    intent = await shop.create()
    await shop.fault(kind, path="/confirm$", idempotency_key="^c:1$")
    for _ in range(2):
        error = await refused(shop.confirm(intent.id, "pm_card_visa", key="c:1"))
        assert isinstance(error, stripe.APIError)
        assert error.http_status == 500
        assert (await shop.ledger(intent.id))["captured"] == captured
    if captured == 0:
        assert (await shop.confirm(intent.id, "pm_card_visa", key="c:2")).status == "succeeded"
    else:
        late = await refused(shop.confirm(intent.id, "pm_card_visa", key="c:2"))
        assert late.code == "payment_intent_unexpected_state"
    assert (await shop.ledger(intent.id))["charges"]["succeeded"] == 1


@pytest.mark.parametrize("kind", ["timeout_before", "timeout_after", "drop_before", "drop_after"])
async def test_no_answer_then_the_same_key_again(shop: StripeShop, kind: str) -> None:
    intent = await shop.create()
    client = impatient(shop)
    await shop.fault(kind, method="POST", path="/confirm$")
    params: Any = {"payment_method": "pm_card_visa"}
    options: Any = {"idempotency_key": "c:1"}
    confirm = client.v1.payment_intents.confirm_async
    error = await refused(confirm(intent.id, params, options))
    assert isinstance(error, stripe.APIConnectionError)
    took_effect = kind.endswith("after")
    assert (await shop.ledger(intent.id))["captured"] == (2500 if took_effect else 0)
    again = await confirm(intent.id, params, options)
    assert (again.status, replayed(again)) == ("succeeded", took_effect)
    assert (await shop.ledger(intent.id))["charges"]["succeeded"] == 1


@pytest.mark.parametrize("kind", ["timeout_after", "drop_after", "drop_before"])
async def test_the_sdks_own_retries_charge_once(shop: StripeShop, kind: str) -> None:
    await shop.fault(kind, method="POST", path="/v1/payment_intents$")
    params: Any = {
        "amount": 2500,
        "currency": "usd",
        "confirm": True,
        "payment_method": "pm_card_visa",
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
    }
    intent = await impatient(shop, retries=2).v1.payment_intents.create_async(params)
    assert intent.status == "succeeded"
    totals = (await shop.control("GET", "/ledger"))["totals"]
    assert totals["by_currency"]["usd"]["captured"] == 2500


async def test_an_effect_that_comes_after_the_client_gave_up(shop: StripeShop) -> None:
    intent = await shop.create()
    await shop.fault("hold", path="/confirm$")
    params: Any = {"payment_method": "pm_card_visa"}
    confirm = impatient(shop).v1.payment_intents.confirm_async
    await refused(confirm(intent.id, params, {"idempotency_key": "c:1"}))
    assert (await shop.retrieve(intent.id)).status == "requires_payment_method"
    await shop.control("POST", "/faults/release", {})
    state = shop.sandbox.state
    await until_true(lambda: state.payment_intents[intent.id]["status"] == "succeeded")
    assert replayed(await shop.confirm(intent.id, "pm_card_visa", key="c:1"))


async def test_a_late_confirm_finds_a_cancelled_payment(shop: StripeShop) -> None:
    intent = await shop.create()
    await shop.fault("hold", path="/confirm$")
    late = asyncio.create_task(shop.confirm(intent.id, "pm_card_visa"))
    faults = shop.sandbox.api.faults
    await until_true(lambda: faults.all()[0].hits == 1)
    await shop.client.v1.payment_intents.cancel_async(intent.id)
    await shop.control("DELETE", "/faults")
    assert (await refused(late)).code == "payment_intent_unexpected_state"
    assert (await shop.ledger(intent.id))["captured"] == 0


async def test_latency_and_the_number_of_times(shop: StripeShop) -> None:
    await shop.fault("latency", method="GET", path="/v1/payment_intents", seconds=0.01, times=2)
    for _ in range(3):
        await shop.client.v1.payment_intents.list_async()
    (fault,) = await shop.control("GET", "/faults")
    assert (fault["hits"], fault["times"]) == (2, 0)


@pytest.mark.parametrize("code", ["rate_limit", "lock_timeout"])
async def test_429_has_no_effect_and_is_not_stored(shop: StripeShop, code: str) -> None:
    await shop.fault("rate_limit", path="/v1/payment_intents$", code=code)
    error = await refused(shop.create(key="k"))
    assert isinstance(error, stripe.RateLimitError)
    assert error.json_body["error"]["code"] == code
    assert not replayed(await shop.create(key="k"))


async def test_faults_match_only_what_they_name(shop: StripeShop) -> None:
    await shop.fault("rate_limit", method="GET", path="/v1/refunds", times=None)
    await shop.fault("rate_limit", idempotency_key="^never$", times=None)
    intent = await shop.create(key="k")
    assert (await shop.retrieve(intent.id)).id == intent.id
    for _ in range(3):
        await refused(shop.client.v1.refunds.list_async())
    assert await shop.control("DELETE", "/faults") == {"cleared": 2}
    assert (await shop.client.v1.refunds.list_async()).data == []


async def test_the_control_api_refuses_what_it_does_not_know(shop: StripeShop) -> None:
    for body in (
        {"kind": "meteor"},
        {"kind": "latency", "path": "("},
        {"kind": "latency", "times": 0},
        {"kind": "latency", "surprise": 1},
    ):
        answer = await shop.control("POST", "/faults", body, status=400)
        assert answer["error"]["fields"][0]["loc"][0] in body
    async with shop.http.post(
        f"{shop.sandbox.base_url}/_control/faults", data='{"kind": "latency"}'
    ) as plain:
        assert plain.status == 400
    await shop.control("GET", "/nothing", status=404)


async def test_the_control_api_describes_itself(shop: StripeShop) -> None:
    described = await shop.control("GET", "")
    requests = {entry["request"] for entry in described["requests"]}
    assert {"POST /_control/faults", "GET /_control/ledger"} <= requests
    assert all(entry["does"] for entry in described["requests"])
    posts = [e for e in described["requests"] if e["request"].startswith("POST")]
    assert all(set(e["example"]) <= set(e["fields"]) for e in posts)


async def test_the_log_of_requests_tells_what_happened(shop: StripeShop) -> None:
    await shop.create(key="k")
    await shop.create(key="k")
    await shop.fault("error_500_after", path="/v1/payment_intents$")
    await refused(shop.create(key="other"))
    log = await shop.control("GET", "/requests")
    assert [(e["idempotency_key"], e["status"], e["replayed"], e["fault"]) for e in log] == [
        ("k", 200, False, None),
        ("k", 200, True, None),
        ("other", 500, False, "error_500_after"),
    ]
    assert "sk_test" not in str(log)
