"""The flow over HTTP: what each write answers, once and again, and what the views then show."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import jwt
import pytest
from msgspec import structs

from models import ids
from models.commands import read_command
from models.events import DeliveryMoved, Event, EventType
from models.messages import encode
from models.topics import DELIVERY_EVENTS, ORDER_COMMANDS
from tests.support.http_api import CART, QUICK, Api, MakeApi, new_key
from tests.support.waiting import until_true
from web.http.context import CONTEXT

CREATE, CONFIRM = "/api/payments/create-intent", "/api/payments/confirm"
MONEY = {"amount": 250_000, "currency": "INR", "display": "2500.00"}


async def test_create_intent_opens_a_payment_at_the_catalogues_price(api: Api) -> None:
    key = new_key()
    status, answer, response = await api.post(CREATE, CART, key=key)
    assert status == 201
    assert answer["amount"] == MONEY
    assert answer["clientSecret"] == "pi_1_secret_of_stripe"
    assert answer["publishableKey"] == "pk_test_x"
    assert answer["paymentId"] == ids.payment_id(answer["orderId"])
    assert response.headers["Location"] == f"/api/orders/{answer['orderId']}"
    assert response.headers["Consistency-Token"] == answer["consistencyToken"]
    assert response.headers["Cache-Control"] == "no-store"
    claims = jwt.decode(answer["orderToken"], "o" * 32, algorithms=["HS256"], issuer="tiffin")
    assert (claims["oid"], claims["role"]) == (answer["orderId"], "customer")
    (command,) = api.world.commands
    assert command.issued_by == f"customer:{claims['sub']}"
    assert command.data.user_id == claims["sub"]
    read_command(ORDER_COMMANDS, command.order_id.encode(), encode(command))


async def test_create_intent_again_is_the_same_order_and_answer(api: Api) -> None:
    key = new_key()
    _, first, _ = await api.post(CREATE, CART, key=key)
    status, second, response = await api.post(CREATE, CART, key=f'"{key}"')
    assert status == 201
    fresh = {"orderToken": "", "consistencyToken": ""}
    assert second | fresh == first | fresh
    assert len(api.world.commands) == 1
    cookies = {name: morsel.value for name, morsel in response.cookies.items()}
    guest = {"Cookie": f"tiffin_guest={cookies['tiffin_guest']}"}
    _, third, _ = await api.post(CREATE, CART, key=key, headers=guest)
    assert third["orderId"] == first["orderId"]


async def test_another_guest_or_key_is_another_order(api: Api) -> None:
    key = new_key()
    _, first, _ = await api.post(CREATE, CART, key=key)
    async with api.client.get("/api/restaurants/hinode-kyoto/menu") as response:
        guest = response.cookies["tiffin_guest"]
    assert guest["httponly"]
    assert guest["samesite"] == "Lax"
    cookie = {"Cookie": f"tiffin_guest={guest.value}"}
    _, second, _ = await api.post(CREATE, CART, key=key, headers=cookie)
    _, third, _ = await api.post(CREATE, CART, headers=cookie)
    assert len({first["orderId"], second["orderId"], third["orderId"]}) == 3


@pytest.mark.parametrize(
    ("path", "bodies"),
    [
        (CREATE, [CART, CART | {"items": [{"dishId": "idli-plate", "quantity": 3}]}]),
        (CONFIRM, [{"paymentMethodId": "pm_a"}, {"paymentMethodId": "pm_b"}]),
        ("/api/payments/cancel", [{}, {"reason": "CHANGED_MIND"}]),
        ("/api/orders/{}/cancel", [{}, {"reason": "CHANGED_MIND"}]),
        ("/api/payments/{}/refunds", [{"amount": 100}, {"amount": 200}]),
    ],
)
async def test_same_key_with_another_body_is_a_conflict(
    api: Api, path: str, bodies: list[dict[str, Any]]
) -> None:
    order, key = await (api.paid() if path.endswith("refunds") else api.order()), new_key()
    token = api.operator if path.endswith("refunds") else order["orderToken"]
    if path in {CONFIRM, "/api/payments/cancel"}:
        bodies = [body | {"orderId": order["orderId"]} for body in bodies]
    path = path.format(order["orderId"])
    status, answer, _ = await api.post(path, bodies[0], key=key, token=token)
    assert status in {200, 201}, answer
    sent = len(api.world.commands)
    status, problem, _ = await api.post(path, bodies[1], key=key, token=token)
    assert (status, problem["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(api.world.commands) == sent


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CREATE, CART),
        (CONFIRM, {"paymentMethodId": "pm_a"}),
        ("/api/orders/{}/cancel", {}),
        ("/api/payments/{}/refunds", {"amount": 100}),
    ],
)
async def test_a_key_whose_outcome_is_not_kept_any_more_never_acts_again(
    api: Api, path: str, body: dict[str, Any]
) -> None:
    order, key = await (api.paid() if path.endswith("refunds") else api.order()), new_key()
    token = api.operator if path.endswith("refunds") else order["orderToken"]
    if path == CONFIRM:
        body = body | {"orderId": order["orderId"]}
    path = path.format(order["orderId"])
    status, answer, _ = await api.post(path, body, key=key, token=token)
    assert status in {200, 201}, answer
    sent = api.world.commands[-1].command_id
    for table in api.world.tables.values():
        for name, record in list(table.records.items()):
            known = {"a-topic": ids.token(sent)} if sent in record.outcomes else {}
            table.records[name] = dataclasses.replace(record, outcomes={}, ids=known)
    before = len(api.world.commands)
    status, problem, _ = await api.post(path, body, key=key, token=token)
    assert (status, problem["code"]) == (409, "IDEMPOTENCY_KEY_EXPIRED")
    assert len(api.world.commands) == before


async def test_an_order_is_shown_without_its_contact_once_that_is_gone(api: Api) -> None:
    order = await api.paid()
    table = api.world.tables["orders"]
    state = table.records[order["orderId"]].state
    placed = structs.replace(state.placed, contact=None, address=None)
    table.records[order["orderId"]] = dataclasses.replace(
        table.records[order["orderId"]], state=structs.replace(state, placed=placed)
    )
    status, view = await api.get(f"/api/orders/{order['orderId']}", order["orderToken"])
    assert status == 200
    assert not view.get("contact")
    assert not view.get("address")
    assert view["items"]
    assert view["payment"]["status"] == "COMPLETED"


async def test_body_is_compared_by_what_it_means(api: Api) -> None:
    key = new_key()
    _, first, _ = await api.post(CREATE, CART, key=key)
    same = dict(reversed(CART.items())) | {"address": CART["address"] | {"line2": " "}}  # type: ignore[operator]
    status, second, _ = await api.post(CREATE, same, key=key)
    assert (status, second["orderId"]) == (201, first["orderId"])


async def test_second_request_while_the_first_is_under_way(api: Api) -> None:
    api.world.stripe_answers.clear()
    key = new_key()
    first = asyncio.create_task(api.post(CREATE, CART, key=key))
    await until_true(lambda: api.world.commands)
    status, problem, response = await api.post(CREATE, CART, key=key)
    assert (status, problem["code"]) == (409, "IDEMPOTENCY_KEY_IN_USE")
    assert response.headers["Retry-After"] == "1"
    api.world.stripe_answers.set()
    assert (await first)[0] == 201
    assert (await api.post(CREATE, CART, key=key))[0] == 201


async def test_stripe_that_takes_too_long_is_202_and_the_key_works_later(make_api: MakeApi) -> None:
    api = await make_api(bounds=type(QUICK)(command_s=0.05))
    api.world.stripe_answers.clear()
    key = new_key()
    status, answer, response = await api.post(CREATE, CART, key=key)
    assert (status, answer["status"]) == (202, "ACCEPTED")
    assert response.headers["Retry-After"]
    view_status, view = await api.get(response.headers["Location"], answer["orderToken"])
    assert (view_status, view["status"]) == (200, "PLACED")
    api.world.stripe_answers.set()
    while status == 202:
        status, answer, _ = await api.post(CREATE, CART, key=key)
    assert status == 201
    assert len(api.world.commands) == 1


async def test_command_that_kafka_has_but_nobody_decided_is_202_and_sent_again(
    make_api: MakeApi,
) -> None:
    api = await make_api(bounds=type(QUICK)(command_s=0.02))
    api.world.loses_commands = True
    key = new_key()
    assert (await api.post(CREATE, CART, key=key))[0] == 202
    api.world.loses_commands = False
    assert (await api.post(CREATE, CART, key=key))[0] in {201, 202}
    first, second = api.world.commands
    assert first.command_id == second.command_id


async def test_kafka_away_is_503_and_the_key_works_later(api: Api) -> None:
    api.world.kafka_is_up = False
    key = new_key()
    status, problem, response = await api.post(CREATE, CART, key=key)
    assert (status, problem["code"]) == (503, "KAFKA_UNAVAILABLE")
    assert response.headers["Retry-After"]
    api.world.kafka_is_up = True
    assert (await api.post(CREATE, CART, key=key))[0] == 201


async def test_payment_that_stripe_refuses_to_open(api: Api) -> None:
    api.world.refuses_to_open = True
    status, problem, _ = await api.post(CREATE, CART)
    assert (status, problem["code"]) == (502, "PAYMENT_NOT_OPENED")


async def test_decline_then_retry_then_tracking_holds_the_payment(api: Api) -> None:
    order = await api.order()
    status, declined = await api.confirm(order, "pm_card_chargeDeclined")
    assert (status, declined["status"], declined["attempt"]) == (200, "FAILED", 1)
    assert declined["failureCode"] == "generic_decline"
    assert "declined" in declined["failureReason"]
    status, paid = await api.confirm(order)
    assert (status, paid["status"], paid["attempt"]) == (200, "COMPLETED", 2)
    assert "failureReason" not in paid
    token = {"Consistency-Token": paid["consistencyToken"]}
    status, view = await api.get(f"/api/orders/{order['orderId']}", order["orderToken"], **token)
    assert (status, view["status"], view["payment"]["status"]) == (200, "PENDING", "COMPLETED")
    assert view["payment"]["net"] == view["payment"]["captured"] == view["amount"] == MONEY
    assert view["restaurant"]["name"] == "Annapurna Tiffin Room"
    assert view["items"][0]["total"] == MONEY
    assert view["contact"] == CART["contact"]


async def test_three_d_secure_hands_the_client_secret_back(make_api: MakeApi) -> None:
    api = await make_api(bounds=type(QUICK)(confirm_s=600))
    order = await api.order()
    status, answer = await api.confirm(order, "pm_card_threeDSecure")
    assert (status, answer["status"]) == (200, "REQUIRES_ACTION")
    assert answer["clientSecret"] == order["clientSecret"]
    assert answer["nextAction"] == "use_stripe_sdk"


async def test_second_confirm_while_one_runs(api: Api) -> None:
    order, key = await api.order(), new_key()
    api.world.stripe_answers.clear()
    body = {"orderId": order["orderId"], "paymentMethodId": "pm_card_visa"}
    first = asyncio.create_task(api.post(CONFIRM, body, key=key, token=order["orderToken"]))
    await until_true(lambda: len(api.world.commands) == 2)
    status, problem, _ = await api.post(CONFIRM, body, key=key, token=order["orderToken"])
    assert (status, problem["code"]) == (409, "IDEMPOTENCY_KEY_IN_USE")
    status, problem, _ = await api.post(CONFIRM, body, token=order["orderToken"])
    assert (status, problem["code"]) == (409, "PAYMENT_UNDER_WAY")
    api.world.stripe_answers.set()
    assert (await first)[1]["status"] == "COMPLETED"
    _, again, _ = await api.post(CONFIRM, body, key=key, token=order["orderToken"])
    assert again == (await first)[1]
    assert len(api.world.stripes[order["orderId"]].charges) == 1


async def test_confirm_whose_attempt_was_overtaken_does_not_wait_for_the_next(
    make_api: MakeApi,
) -> None:
    api = await make_api(bounds=type(QUICK)(confirm_s=600))
    order, world = await api.order(), api.world
    world.stripe_answers.clear()
    first = asyncio.create_task(api.confirm(order, "pm_card_chargeDeclined"))
    await until_true(lambda: len(world.commands) == 2)
    (effect,) = world.tables["payments"].records[order["orderId"]].state.work.effects.values()
    # The decline and the next attempt are stored before the first request wakes up.
    world.stripe_answers.set()
    await world.perform(order["orderId"], effect)
    world.stripe_answers.clear()
    await world.send(structs.replace(world.commands[1], command_id="another"))
    status, answer = await first
    assert (status, answer["status"], answer["attempt"]) == (200, "PROCESSING", 2)


async def test_confirm_without_a_result_in_time_is_processing(make_api: MakeApi) -> None:
    api = await make_api(bounds=type(QUICK)(confirm_s=0.02))
    order = await api.order()
    api.world.stripe_answers.clear()
    status, answer = await api.confirm(order)
    assert (status, answer["status"]) == (200, "PROCESSING")


async def test_unpaid_payment_is_cancelled_on_stripes_word(api: Api) -> None:
    order = await api.order()
    body = {"orderId": order["orderId"], "reason": "CHANGED_MIND"}
    status, answer, _ = await api.post("/api/payments/cancel", body, token=order["orderToken"])
    assert (status, answer["status"]) == (200, "CANCELLED")
    _, view = await api.get(f"/api/payments/{order['orderId']}", order["orderToken"])
    assert (view["status"], view["cancelReason"]) == ("CANCELLED", "CHANGED_MIND")
    status, problem = await api.confirm(order)
    assert (status, problem["code"]) == (409, "PAYMENT_CANCELLED")


async def test_cancelled_order_is_refunded_and_the_timeline_tells(api: Api) -> None:
    order = await api.paid()
    path = f"/api/orders/{order['orderId']}"
    status, answer, _ = await api.post(f"{path}/cancel", token=order["orderToken"], data=b"")
    assert (status, answer["status"], answer["refund"]) == (200, "CANCELLED", True)
    token = {"Consistency-Token": answer["consistencyToken"]}
    await until_true(lambda: not api.world.tasks)
    _, view = await api.get(path, order["orderToken"], **token)
    assert (view["status"], view["cancelledBy"]) == ("REFUNDED", "customer")
    assert view["payment"]["refunded"] == MONEY
    assert view["payment"]["net"]["amount"] == 0
    _, timeline = await api.get(f"{path}/timeline", order["orderToken"])
    kinds = [entry["eventType"] for entry in timeline["entries"]]
    for kind in ("PAYMENT_INITIATED", "PAYMENT_COMPLETED", "ORDER_CREATED", "PAYMENT_REFUNDED"):
        assert kind in kinds
    times = [entry["tMs"] for entry in timeline["entries"]]
    assert times == sorted(times)
    assert times[0] == 0
    people = {entry["detail"].get("by") for entry in timeline["entries"]}
    assert "customer" in people
    assert not any(":" in person for person in people if person)


async def test_partial_refund_by_an_operator(api: Api) -> None:
    order = await api.paid()
    path = f"/api/payments/{order['orderId']}"
    body = {"amount": 50_000, "reason": "ITEM_MISSING"}
    status, answer, _ = await api.post(f"{path}/refunds", body, token=api.operator)
    assert (status, answer["refund"]["status"]) == (201, "PENDING")
    await until_true(lambda: not api.world.tasks)
    _, view = await api.get(path, api.operator)
    assert view["refundable"]["amount"] == 200_000
    assert [refund["status"] for refund in view["refunds"]] == ["SUCCEEDED"]
    status, problem, _ = await api.post(f"{path}/refunds", {"amount": 200_001}, token=api.operator)
    assert (status, problem["code"]) == (409, "REFUND_TOO_LARGE")


async def test_delivered_order_is_not_cancelled(api: Api) -> None:
    order = await api.paid()
    order_id = order["orderId"]
    delivered = Event(
        event_id="e1", event_type=EventType.DELIVERY_DELIVERED, occurred_at="2023-11-14T22:13:20.000Z",
        order_id=order_id, payment_id=None, sequence=2, causation_id="", correlation_id="",
        producer="deliveries", data=DeliveryMoved(),
    )  # fmt: skip
    await api.world.feed(DELIVERY_EVENTS, order_id, encode(delivered))
    status, problem, _ = await api.post(
        f"/api/orders/{order_id}/cancel", {}, token=order["orderToken"]
    )
    assert (status, problem["code"]) == (409, "ORDER_DELIVERED")


async def test_quarantined_order_says_so(api: Api) -> None:
    order = await api.order()
    api.world.quarantine("payments", order["orderId"])
    sent = len(api.world.commands)
    status, problem = await api.confirm(order)
    assert (status, problem["code"]) == (503, "ORDER_QUARANTINED")
    assert len(api.world.commands) == sent
    _, view = await api.get(f"/api/orders/{order['orderId']}", order["orderToken"])
    assert view["heldForOperator"] is True


async def test_stream_tells_every_change_and_ends_with_the_worker(api: Api) -> None:
    order = await api.order()
    headers = {"Authorization": f"Bearer {order['orderToken']}"}
    async with api.client.get(f"/api/orders/{order['orderId']}/stream", headers=headers) as stream:
        assert stream.content_type == "text/event-stream"
        seen = await stream.content.readuntil(b"\r\n\r\n")
        assert b'"status":"PAYMENT_PENDING"' in seen
        await api.confirm(order)
        while b'"status":"PENDING"' not in seen:
            seen = await stream.content.readuntil(b"\r\n\r\n")
        assert api.client.app is not None
        api.client.app[CONTEXT].stopping.set()
        await stream.content.read()
