"""Operators' view of what customers were told, and the retry."""

from __future__ import annotations

from typing import Any

import pytest

from agents import NotificationsService
from models.commands import Command, CommandType, NotificationResult, SendResult
from models.messages import encode
from models.topics import NOTIFICATION_COMMANDS
from tests.contract.http.conftest import Api, MakeApi, new_key
from tests.contract.http.memory import MemoryTable, World
from web.tokens import Role

UNKNOWN = "order_01h2xcejqtf2nbrexx3vqjhp41"


@pytest.fixture
async def api(make_api: MakeApi) -> Api:
    """With the notifications service, and nobody who sends what it holds."""
    world = World()
    world.tables["notifications"] = MemoryTable(NotificationsService(), "notifications")
    return await make_api(world)


async def listed(api: Api, order_id: str) -> list[dict[str, Any]]:
    status, answer = await api.get(f"/api/ops/notifications?order={order_id}", api.operator)
    assert status == 200, answer
    assert answer["orderId"] == order_id
    return list(answer["notifications"])


async def tried(api: Api, order_id: str, name: str, result: SendResult, code: str | None) -> None:
    data = NotificationResult(notification_id=name, attempt=1, result=result, code=code)
    command = Command(
        order_id=order_id, command_id=f"result-{name}", issued_at="", issued_by="system:notifier",
        command_type=CommandType.NOTIFICATION_RESULT, data=data,
    )  # fmt: skip
    await api.world.feed(NOTIFICATION_COMMANDS, order_id, encode(command))


def retry_path(order_id: str, name: str) -> str:
    return f"/api/ops/notifications/{order_id}/{name}/retry"


async def test_the_list_names_events_channels_and_states_and_nobody(api: Api) -> None:
    order = await api.paid()
    shown = await listed(api, order["orderId"])
    assert [(n["eventType"], n["channel"], n["status"], n["tries"]) for n in shown] == [
        ("PAYMENT_COMPLETED", "EMAIL", "PENDING", 0), ("PAYMENT_COMPLETED", "SMS", "PENDING", 0)
    ]  # fmt: skip
    assert "asha" not in str(shown).lower()
    assert "98765" not in str(shown)


async def test_a_retry_sets_it_going_again_once_for_each_key(api: Api) -> None:
    order_id = (await api.paid())["orderId"]
    name = (await listed(api, order_id))[0]["notificationId"]
    await tried(api, order_id, name, SendResult.REFUSED, "SMTP_550")
    failed = (await listed(api, order_id))[0]
    assert (failed["status"], failed["code"], failed["tries"]) == ("FAILED", "SMTP_550", 1)
    key = new_key()
    for _ in range(2):
        status, answer, response = await api.post(
            retry_path(order_id, name), {}, token=api.operator, key=key
        )
        assert (status, answer["notification"]["status"]) == (200, "PENDING"), answer
        assert response.headers["Consistency-Token"] == answer["consistencyToken"]
    sent = [c for c in api.world.commands if c.command_type is CommandType.RETRY_NOTIFICATION]
    assert [command.issued_by for command in sent] == ["operator:olga"]
    _, timeline = await api.get(f"/api/orders/{order_id}/timeline", api.operator)
    types = [entry["eventType"] for entry in timeline["entries"]]
    assert types[-2:] == ["NOTIFICATION_FAILED", "NOTIFICATION_RETRIED"]


async def test_a_retry_of_what_needs_none_is_refused(api: Api) -> None:
    order_id = (await api.paid())["orderId"]
    first, second = (n["notificationId"] for n in await listed(api, order_id))
    status, problem, _ = await api.post(retry_path(order_id, first), {}, token=api.operator)
    assert (status, problem["code"]) == (409, "NOTIFICATION_PENDING")
    await tried(api, order_id, second, SendResult.SENT, None)
    status, problem, _ = await api.post(retry_path(order_id, second), {}, token=api.operator)
    assert (status, problem["code"]) == (409, "NOTIFICATION_SENT")
    status, problem, _ = await api.post(retry_path(order_id, "notif_x"), {}, token=api.operator)
    assert (status, problem["code"]) == (404, "NOTIFICATION_UNKNOWN")
    status, problem, _ = await api.post(retry_path(UNKNOWN, first), {}, token=api.operator)
    assert (status, problem["code"]) == (404, "ORDER_UNKNOWN")
    status, problem, _ = await api.post(
        retry_path(order_id, first), {"force": True}, token=api.operator
    )
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED")


async def test_operators_alone(api: Api) -> None:
    order = await api.paid()
    order_id = order["orderId"]
    courier = api.staff.issue(Role.COURIER, "carl")
    for token, expected in (
        (None, (401, "TOKEN_MISSING")),
        (order["orderToken"], (403, "ROLE_REFUSED")),
        (courier, (403, "ROLE_REFUSED")),
    ):
        status, problem = await api.get(f"/api/ops/notifications?order={order_id}", token)
        assert (status, problem["code"]) == expected
        status, problem, _ = await api.post(retry_path(order_id, "notif_x"), {}, token=token)
        assert (status, problem["code"]) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (400, "VALIDATION_FAILED")),
        ("?order=x", (400, "VALIDATION_FAILED")),
        (f"?order={UNKNOWN}", (404, "ORDER_UNKNOWN")),
    ],
)
async def test_the_list_is_of_one_order(api: Api, query: str, expected: tuple[int, str]) -> None:
    status, problem = await api.get(f"/api/ops/notifications{query}", api.operator)
    assert (status, problem["code"]) == expected
