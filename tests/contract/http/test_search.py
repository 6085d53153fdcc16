"""Operators find orders by whatever a caller has; nothing of it is logged or stands in an address."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from yarl import URL

from models import ids
from models.errors import KafkaUnavailableError
from tests.support.http_api import CART, MakeApi
from tests.support.ids import without_ids
from tests.support.in_memory_backend import InMemoryBackend
from tests.support.operations import QUIET_OPERATIONS
from tests.support.payment_flow import Stripe
from web.http.tokens import Role
from web.ops.search import MAX_FOUND

CONTACT = {"name": "Asha Kumari Rao", "email": "Asha.Rao@Example.com", "phone": "+91 98765 43210"}
OTHER = {"name": "Ben Rao", "email": "ben@example.com", "phone": "+44 7700 900123"}


class SearchDesk:
    """An operator's desk; noted: what the audit was told."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, list[str], int]] = []
        self.api: Any = None
        self.kafka_is_up = True

    async def note(self, by: str, kinds: list[str], found: int) -> None:
        if not self.kafka_is_up:
            raise KafkaUnavailableError
        self.noted.append((by, kinds, found))

    async def place(self, contact: dict[str, str], quantity: int = 2) -> dict[str, Any]:
        item = {"dishId": "family-thali", "quantity": quantity}
        body = {**CART, "contact": contact, "items": [item]}
        status, answer, _ = await self.api.post("/api/payments/create-intent", body)
        assert status == 201, answer
        return dict(answer)

    async def find(self, text: str) -> list[tuple[str, list[str]]]:
        status, answer, _ = await self.api.post(
            "/api/ops/search", {"q": text}, token=self.api.operator
        )
        assert status == 200, answer
        return [(row["orderId"], row["by"]) for row in answer["orders"]]


@pytest.fixture
async def desk(make_api: MakeApi) -> SearchDesk:
    desk = SearchDesk()
    desk.api = await make_api(operations=replace(QUIET_OPERATIONS, audit_search=desk.note))
    return desk


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("asha.rao@example.com", "email"),
        (" ASHA.RAO@EXAMPLE.COM ", "email"),
        ("+91 98765 43210", "phone"),
        ("098765-43210", "phone"),
        ("9876543210", "phone"),
        ("0091 98765 43210", "phone"),
        ("asha", "name"),
        ("Asha Kumari Rao", "name"),
        ("rao, asha", "name"),
        ("2500", "amount"),
        ("2,500.00", "amount"),
        ("\N{INDIAN RUPEE SIGN}2,500", "amount"),
        ("INR 2500.00", "amount"),
    ],
)
async def test_an_order_is_found_by_what_a_caller_says(
    desk: SearchDesk, text: str, by: str
) -> None:
    mine = await desk.place(CONTACT)
    await desk.place(OTHER, quantity=1)
    await desk.api.confirm(mine)
    found = await desk.find(text)
    assert (mine["orderId"], [by]) in found
    assert len(found) == 1
    assert bool(desk.noted) == (by in {"email", "phone", "name"})
    for who, kinds, count in desk.noted:
        assert (who, kinds, count) == ("operator:olga", [by], 1), "and never what was looked for"


async def test_an_order_is_found_by_a_cards_last_four_digits(
    desk: SearchDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged = Stripe.settle

    def settle(stripe: Stripe, *, succeed: bool) -> None:
        charged(stripe, succeed=succeed)
        assert stripe.intent is not None
        card = {"last4": "4242" if succeed else "0002"}
        details = {"id": stripe.charges[-1]["id"], "payment_method_details": {"card": card}}
        stripe.intent["latest_charge"] = details

    monkeypatch.setattr(Stripe, "settle", settle)
    mine, other = await desk.place(CONTACT), await desk.place(OTHER)
    for order, method in (
        (mine, "pm_card_chargeDeclined"), (mine, "pm_card_visa"), (other, "pm_card_chargeDeclined")
    ):  # fmt: skip
        assert (await desk.api.confirm(order, method))[0] == 200
    assert await desk.find("4242") == [(mine["orderId"], ["card"])]
    declined = {key for key, _ in await desk.find("0002")}
    assert declined == {mine["orderId"], other["orderId"]}, "a card that was declined as well"
    for path in ("orders", "payments"):
        _, told = await desk.api.get(f"/api/{path}/{mine['orderId']}", mine["orderToken"])
        assert "4242" not in without_ids(str(told))
    told = [record.state for record in desk.api.world.tables["timeline"].records.values()]
    assert "4242" not in without_ids(str(told))


async def test_by_reference_and_by_every_id(desk: SearchDesk) -> None:
    order, other = await desk.place(CONTACT), await desk.place(OTHER)
    await desk.api.confirm(order)
    refund = {"amount": 1000, "reason": "LATE"}
    path = f"/api/payments/{order['orderId']}/refunds"
    await desk.api.post(path, refund, token=desk.api.operator)
    for task in list(desk.api.world.tasks):
        await task
    _, view = await desk.api.get(f"/api/orders/{order['orderId']}", desk.api.operator)
    _, line = await desk.api.get(f"/api/orders/{order['orderId']}/timeline", desk.api.operator)
    payment, (made,) = view["payment"], view["payment"]["refunds"]
    command = next(e["causationId"] for e in line["entries"] if e["causationId"].startswith("cmd_"))
    known = {
        order["reference"], order["reference"].lower().replace("-", " "), order["orderId"],
        view["paymentId"], payment["stripeIntentId"], payment["stripeChargeId"], made["refundId"],
        made["stripeRefundId"], command, *(entry["eventId"] for entry in line["entries"]),
    }  # fmt: skip
    assert None not in known
    for text in known - {payment["stripeIntentId"], payment["stripeChargeId"]}:
        assert [key for key, _ in await desk.find(text)] == [order["orderId"]], text
        status, found = await desk.api.get(f"/api/ops/search?q={URL(text)}", desk.api.operator)
        assert (status, [row["orderId"] for row in found["orders"]]) == (200, [order["orderId"]])
    # The memory's Stripe counts its objects anew for each order, as Stripe does not.
    intents = {key for key, _ in await desk.find(payment["stripeIntentId"])}
    assert intents == {order["orderId"], other["orderId"]}
    assert not desk.noted, "no person's data was looked for"


async def test_an_id_whose_digits_look_like_a_cards_is_no_card(desk: SearchDesk) -> None:
    for text in ("d145ac56-5743-5d16-8702-0924588c656e", "re_4242424242424242"):
        assert await desk.find(text) == []


async def test_orders_with_the_same_reference_are_all_listed(desk: SearchDesk) -> None:
    order = await desk.place(CONTACT)
    order_id = order["orderId"]
    twin = order_id[:20] + ("0" if order_id[20] != "0" else "1") + order_id[21:]
    orders = desk.api.world.tables["orders"].records
    orders[twin] = replace(orders[order_id], key=twin)
    assert ids.reference(twin) == order["reference"]
    found = await desk.find(order["reference"])
    assert {key for key, _ in found} == {order_id, twin}


async def test_the_latest_are_listed_first_and_the_list_is_bounded(desk: SearchDesk) -> None:
    placed = [(await desk.place(OTHER))["orderId"] for _ in range(MAX_FOUND + 2)]
    status, answer, _ = await desk.api.post(
        "/api/ops/search", {"q": "ben"}, token=desk.api.operator
    )
    assert (status, answer["isCut"]) == (200, True)
    assert len(answer["orders"]) == MAX_FOUND
    times = [row["placedAt"] for row in answer["orders"]]
    assert times == sorted(times, reverse=True)
    assert {row["orderId"] for row in answer["orders"]} <= set(placed)


async def test_a_persons_data_in_an_address_is_refused_or_taken_for_an_id(desk: SearchDesk) -> None:
    await desk.place(CONTACT)
    for text in ("asha.rao%40example.com", "%2B91%2098765%2043210", "Asha%20Rao"):
        status, answer = await desk.api.get(f"/api/ops/search?q={text}", desk.api.operator)
        assert (status, answer["code"]) == (400, "VALIDATION_FAILED")
        assert "POST" in str(answer)
    for text in ("asha", "9876543210", "4242", "2500"):
        status, answer = await desk.api.get(f"/api/ops/search?q={text}", desk.api.operator)
        assert (status, answer["orders"]) == (200, [])


async def test_what_was_looked_for_is_in_no_log_and_not_sent_on(
    make_api: MakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    theirs, ours = SearchDesk(), SearchDesk()
    theirs.api = await make_api(operations=replace(QUIET_OPERATIONS, audit_search=theirs.note))
    world = InMemoryBackend()
    for table in world.tables.values():
        table.is_ours, table.owner = False, URL(theirs.api.client.make_url("/"))
    ours.api = await make_api(world, operations=replace(QUIET_OPERATIONS, audit_search=ours.note))
    order = await theirs.place(CONTACT)
    while not await ours.find(order["reference"]):  # until the other worker answers
        pass
    caplog.clear()
    for text in (CONTACT["email"], CONTACT["phone"], "Kumari", order["reference"]):
        assert [key for key, _ in await ours.find(text)] == [order["orderId"]], text
    assert [kinds for _, kinds, _ in ours.noted] == [["email"], ["phone"], ["name"]]
    assert not theirs.noted, "once, where it was asked"
    told = " ".join(str(vars(record)) for record in caplog.records).lower()
    assert "/api/ops/search" in told
    for text in ("asha.rao", "98765", "kumari"):
        assert text not in told


async def test_nothing_is_told_that_can_not_be_recorded(desk: SearchDesk) -> None:
    order = await desk.place(CONTACT)
    desk.kafka_is_up = False
    status, answer, _ = await desk.api.post(
        "/api/ops/search", {"q": CONTACT["email"]}, token=desk.api.operator
    )
    assert (status, answer["code"]) == (503, "KAFKA_UNAVAILABLE")
    assert await desk.find(order["reference"]), "what is no person's needs no record"


async def test_who_may_search_and_what_is_refused(desk: SearchDesk) -> None:
    await desk.place(CONTACT)
    courier = desk.api.staff.issue(Role.COURIER, "carla")
    body = {"q": CONTACT["email"]}
    assert (await desk.api.post("/api/ops/search", body))[0] == 401
    assert (await desk.api.post("/api/ops/search", body, token=courier))[0] == 403
    sent = {"Tiffin-Partitions": "0", "Tiffin-Search": '{"order":null,"rows":{}}'}
    status, _, _ = await desk.api.post(
        "/api/ops/search", body, token=desk.api.operator, headers=sent
    )
    assert status == 400, "a worker's question would not be recorded"
    assert (await desk.api.get("/api/ops/search", desk.api.operator, **sent))[0] == 400
    proof = {**sent, "Tiffin-Worker": desk.api.deps.order_tokens.worker_proof}
    for plan in ("", "{}", '{"order":null,"rows":{"id":["order_"]}}', "[" * 90):
        asked = {**proof, "Tiffin-Search": plan}
        assert (await desk.api.get("/api/ops/search", desk.api.operator, **asked))[0] == 400
    for text in ("", "ab", "x" * 101, "4242 4242 4242 4242"):
        status, answer, _ = await desk.api.post(
            "/api/ops/search", {"q": text}, token=desk.api.operator
        )
        assert status == 400, answer
    assert not desk.noted


async def test_the_page_sends_what_is_looked_for_in_a_form(desk: SearchDesk) -> None:
    order = await desk.place(CONTACT)
    other = await desk.place(OTHER)
    headers = {"Authorization": f"Bearer {desk.api.operator}", "Accept": "text/html"}
    async with desk.api.client.post(
        "/ops/search", data={"q": CONTACT["email"]}, headers=headers, allow_redirects=False
    ) as answer:
        assert (answer.status, answer.headers["Location"]) == (
            303,
            f"/ops/orders/{order['orderId']}",
        )
    async with desk.api.client.post("/ops/search", data={"q": "Rao"}, headers=headers) as answer:
        text = await answer.text()
    assert '<form method="post" action="/ops/search"' in text
    for each in (order, other):
        assert each["reference"] in text
    for nothing in ({"q": "%"}, {}, {"q": "4242424242424242"}):
        async with desk.api.client.post("/ops/search", data=nothing, headers=headers) as answer:
            assert (answer.status, 'role="alert"' in await answer.text()) == (200, True)
