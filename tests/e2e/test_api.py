"""Repeated requests, tokens and bad input at a platform of three workers: what they change in Kafka."""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import Callable
from typing import Any

from sandbox.card_numbers import DECLINED, VISA
from tests.e2e.shop import CANCELLED, PAID, REFUNDED, UNPAID, Answer, Buyer, Shop
from tests.support import kafka_invariants
from tests.support.kafka_invariants import payment_events, types

CREATE = "/api/payments/create-intent"
CONFIRM = "/api/payments/confirm"
TOKEN = "Consistency-Token"


async def post(shop: Shop, worker: int, path: str, body: Any, **headers: str) -> Answer:
    """One POST to a worker, whatever its answer."""
    url = shop.workers[worker % len(shop.workers)] + path
    return await shop.request("POST", url, json=body, **headers)


def bearer(buyer: Buyer) -> dict[str, str]:
    return {"Authorization": f"Bearer {buyer.order['orderToken']}"}


async def test_two_identical_create_intents_at_two_workers_at_once(shop: Shop) -> None:
    twins = [shop.buyer(at=0), shop.buyer(at=1)]
    twins[1].key = twins[0].key
    await asyncio.gather(*(twin.place() for twin in twins))
    first, second = (twin.order for twin in twins)
    for name in ("orderId", "paymentId", "clientSecret", "amount"):
        assert first[name] == second[name]
    records = await shop.ends(twins[0], UNPAID)
    assert types(payment_events(records)) == ["PAYMENT_INITIATED"]
    created = await shop.stripe.requests(f"pi:{first['orderId']}:")
    assert [entry["replayed"] for entry in created] == [False]
    placed = {r.body["commandId"] for r in records if r.topic == "order-commands"}
    assert len(placed) == 1


async def test_the_key_of_a_create_intent(shop: Shop) -> None:
    """400 without, 409 while the first is under way, 422 for another body, else the same answer."""
    buyer = shop.buyer()
    basket = await buyer.basket()
    other = copy.deepcopy(basket)
    other["items"][0]["quantity"] = 2
    missing = await post(shop, 0, CREATE, basket)
    assert (missing.status, missing.body["code"]) == (400, "IDEMPOTENCY_KEY_MISSING")
    assert [error["field"] for error in missing.body["errors"]] == ["Idempotency-Key"]

    fault = await shop.stripe.fault("hold", f"^pi:{buyer.expected_id}:")
    key = {"Idempotency_Key": buyer.key}
    first = asyncio.create_task(buyer.open_payment(basket, buyer.key))
    await shop.stripe.met(fault)
    for worker in range(3):
        again = await post(shop, worker, CREATE, basket, **key)
        assert (again.status, again.body["code"]) == (409, "IDEMPOTENCY_KEY_IN_USE")
        assert again.headers["Retry-After"]
    await shop.stripe.release(fault)
    answer = await first
    for worker in range(3):
        same = await post(shop, worker, CREATE, basket, **key)
        assert same.status == 201
        for name in ("orderId", "paymentId", "clientSecret", "publishableKey", "amount"):
            assert same.body[name] == answer[name]
        refused = await post(shop, worker, CREATE, other, **key)
        assert (refused.status, refused.body["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert refused.headers["Content-Type"].startswith("application/problem+json")
    await shop.ends(buyer, UNPAID)


async def test_the_key_of_a_confirm(shop: Shop) -> None:
    """The same again is the same answer; a second confirm while one runs is refused."""
    buyer = await shop.buyer().place()
    body = {"orderId": buyer.order_id, "confirmationToken": await buyer.card_token(VISA)}
    second = {"orderId": buyer.order_id, "confirmationToken": await buyer.card_token(VISA)}
    missing = await post(shop, 0, CONFIRM, body, **bearer(buyer))
    assert (missing.status, missing.body["code"]) == (400, "IDEMPOTENCY_KEY_MISSING")

    fault = await shop.stripe.fault("hold", f"^confirm:{buyer.payment_id}:")
    key = {**bearer(buyer), "Idempotency_Key": str(uuid.uuid4())}
    means = {"confirmationToken": body["confirmationToken"]}
    first = asyncio.create_task(buyer.confirm_with(means, key["Idempotency_Key"]))
    await shop.stripe.met(fault)
    another = await post(
        shop, 1, CONFIRM, second, **bearer(buyer), Idempotency_Key=str(uuid.uuid4())
    )
    assert (another.status, another.body["code"]) == (409, "PAYMENT_UNDER_WAY")
    await shop.stripe.release(fault)
    answer = await first
    assert answer["status"] == "COMPLETED"
    for worker in range(3):
        same = await post(shop, worker, CONFIRM, body, **key)
        assert same.status == 200
        for name in ("orderId", "paymentId", "status", "attempt", "amount", "receiptUrl"):
            assert same.body[name] == answer[name]
        refused = await post(shop, worker, CONFIRM, second, **key)
        assert (refused.status, refused.body["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    await shop.ends(buyer, PAID)


async def test_the_key_of_a_cancel(shop: Shop) -> None:
    buyer = await shop.buyer().place()
    await buyer.pay(VISA)
    await buyer.wait_status("PENDING")
    path = f"/api/orders/{buyer.order_id}/cancel"
    key = {**bearer(buyer), "Idempotency_Key": str(uuid.uuid4())}
    answers = [await post(shop, worker, path, {}, **key) for worker in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    await shop.ends(buyer, REFUNDED)
    late = await post(shop, 0, path, {}, **bearer(buyer), Idempotency_Key=str(uuid.uuid4()))
    assert (late.status, late.body["code"]) == (409, "ORDER_REFUNDED")


async def test_a_read_at_another_worker_holds_the_write(shop: Shop) -> None:
    """Each write's token, sent along with the very next read, at each of the workers."""

    async def read(buyer: Buyer, worker: int, token: str, path: str = "") -> dict[str, Any]:
        url = f"{shop.workers[worker]}/api/orders/{buyer.order_id}{path}"
        answer = await shop.request("GET", url, Consistency_Token=token, **bearer(buyer))
        assert answer.status == 200, answer.body
        return dict(answer.body)

    for worker in range(3):
        buyer = await shop.buyer(at=(worker + 1) % 3).place()
        view = await read(buyer, worker, buyer.order["consistencyToken"])
        assert (view["status"], view["payment"]["status"]) == ("PAYMENT_PENDING", "PENDING")
        answer = await buyer.pay(DECLINED)
        view = await read(buyer, worker, answer["consistencyToken"])
        assert (view["status"], view["payment"]["status"]) == ("PAYMENT_FAILED", "FAILED")
        answer = await buyer.pay(VISA)
        view = await read(buyer, worker, answer["consistencyToken"])
        assert (view["status"], view["payment"]["status"]) == ("PENDING", "COMPLETED")
        told = (await read(buyer, worker, answer["consistencyToken"], "/timeline"))["entries"]
        assert "PAYMENT_COMPLETED" in [entry["eventType"] for entry in told]
        answer = await buyer.cancel_order()
        view = await read(buyer, worker, answer["consistencyToken"])
        assert view["status"] in {"CANCELLED", "REFUNDED"}
        await shop.ends(buyer, REFUNDED)


async def test_a_token_of_something_that_never_comes_is_a_504_or_refused(shop: Shop) -> None:
    mine, others = await shop.buyer().place(), await shop.buyer().place()
    url = f"{shop.workers[0]}/api/orders/{mine.order_id}"
    for token in ("nonsense", others.order["consistencyToken"]):
        answer = await shop.request("GET", url, Consistency_Token=token, **bearer(mine))
        assert (answer.status, answer.body["code"]) == (400, "CONSISTENCY_TOKEN_INVALID")


def _with(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda basket: {**basket, **changes}


def _quantity(quantity: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda basket: {**basket, "items": [{**basket["items"][0], "quantity": quantity}]}


BASKETS = {
    "unknown restaurant": (_with(restaurantId="nowhere"), "restaurantId"),
    "unknown dish": (_with(items=[{"dishId": "unicorn", "quantity": 1}]), "items[0].dishId"),
    "empty cart": (_with(items=[]), "items"),
    "too many items": (_with(items=[{"dishId": "d", "quantity": 1}] * 1_000), "items"),
    "quantity 0": (_quantity(0), "items[0].quantity"),
    "quantity 1e9": (_quantity(10**9), "items[0].quantity"),
    "quantity 2; drop": (_quantity("2; drop"), "items[0].quantity"),
    "an amount": (_with(amount=1), "amount"),
    "a currency": (_with(currency="USD"), "currency"),
}
"""Bad carts, and the field that the refusal names. Tests of web/'s contract hold the whole list."""


async def test_bad_input_changes_nothing(shop: Shop) -> None:
    """Each is refused by name; then one good confirm shows all that came into Kafka meanwhile."""
    mine, other = await shop.buyer().place(), await shop.buyer().place()
    await shop.ends(mine, UNPAID)
    basket = await mine.basket()
    before = await asyncio.to_thread(shop.topics.read)
    known = {record.key for record in before}
    keys = []
    for number, (name, (change, field)) in enumerate(BASKETS.items()):
        keys.append(str(uuid.uuid4()))
        refused = await post(shop, number, CREATE, change(basket), Idempotency_Key=keys[-1])
        assert refused.status in {400, 404}, name
        assert refused.headers["Content-Type"].startswith("application/problem+json")
        assert field in [error["field"] for error in refused.body["errors"]], name
    for status, code, sent in await _bad_requests(shop, mine, other):
        assert (sent.status, sent.body["code"]) == (status, code)
        assert sent.headers["Content-Type"].startswith("application/problem+json")

    assert (await mine.pay(VISA))["status"] == "COMPLETED"
    await shop.ends(mine, PAID)
    after = await asyncio.to_thread(shop.topics.read)
    new = [record for record in after[len(before) :] if record.topic in kafka_invariants.INPUTS]
    assert not {record.key for record in new} - known, "an order that nobody could place"
    assert not [record for record in new if record.key == other.order_id]
    confirms = [r.body for r in new if r.topic == "payment-commands" and r.key == mine.order_id]
    assert [c["commandType"] for c in confirms if c["issuedBy"].startswith("customer")] == [
        "CONFIRM_PAYMENT"
    ]


async def _bad_requests(shop: Shop, mine: Buyer, other: Buyer) -> list[tuple[int, str, Answer]]:
    """(status, code, answer) of requests that are refused whatever their fields."""
    key = {"Idempotency_Key": str(uuid.uuid4())}
    json_type = {"Content_Type": "application/json"}
    url = shop.workers[0]
    theirs = {"orderId": other.order_id, "confirmationToken": await other.card_token(VISA)}
    card = {"orderId": mine.order_id, "paymentMethodId": VISA}
    unknown = f"{url}/api/orders/{mine.order_id[:-4]}0000/cancel"
    event = b'{"id": "evt_1", "object": "event", "type": "payment_intent.succeeded"}'

    async def raw(path: str, data: bytes, **headers: str) -> Answer:
        return await shop.request("POST", url + path, data=data, **headers)

    return [
        (403, "WRONG_ORDER", await post(shop, 0, CONFIRM, theirs, **key, **bearer(mine))),
        (400, "CARD_NUMBER_REFUSED", await post(shop, 1, CONFIRM, card, **key, **bearer(mine))),
        (400, "INVALID_JSON", await raw(CREATE, b"{", **key, **json_type)),
        (415, "CONTENT_TYPE_REFUSED", await raw(CREATE, b"a=1", **key, Content_Type="text/plain")),
        (413, "BODY_TOO_LARGE", await raw(CREATE, b" " * 70_000, **key, **json_type)),
        (403, "WRONG_ORDER",
         await shop.request("POST", unknown, json={}, **key, **bearer(mine))),
        (400, "SIGNATURE_MISSING", await raw("/webhooks/stripe", event, **json_type)),
        (400, "SIGNATURE_INVALID",
         await raw("/webhooks/stripe", event, **json_type, Stripe_Signature="t=1,v1=00")),
    ]  # fmt: skip


async def test_cancelled_is_cancelled(shop: Shop) -> None:
    """A confirm after the cancel is refused, and charges nothing."""
    buyer = await shop.buyer().place()
    await buyer.cancel_order()
    await shop.ends(buyer, CANCELLED)
    body = {"orderId": buyer.order_id, "confirmationToken": await buyer.card_token(VISA)}
    refused = await post(shop, 0, CONFIRM, body, **bearer(buyer), Idempotency_Key=str(uuid.uuid4()))
    assert (refused.status, refused.body["code"]) == (409, "PAYMENT_CANCELLED")
    await shop.ends(buyer, CANCELLED)
