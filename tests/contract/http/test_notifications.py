"""Operators' view of what customers were told, and the retry."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from agents.notifications import NotificationPolicy, notifications_service
from models.commands import Command, CommandType, NotificationResult, SendResult
from models.messages import encode
from models.notification import CHANNELS_BY_EVENT, Channel, NotificationStatus
from models.times import from_rfc3339
from models.topics import NOTIFICATION_COMMANDS
from tests.support.http_api import Api, MakeApi, new_key
from tests.support.ids import without_ids
from tests.support.in_memory_backend import InMemoryBackend, InMemoryTable, PartitionedTable
from web.http.scatter_gather import PARTITIONS
from web.http.tokens import Role
from web.pages.ops import notifications

LIST = "/api/ops/notifications"
UNKNOWN = "order_01h2xcejqtf2nbrexx3vqjhp41"


@pytest.fixture
async def api(make_api: MakeApi) -> Api:
    """With the notifications service, and nobody who sends what it holds."""
    world = InMemoryBackend()
    world.tables["notifications"] = InMemoryTable(notifications_service(), "notifications")
    return await make_api(world)


async def listed(api: Api, order_id: str) -> list[dict[str, Any]]:
    status, answer = await api.get(f"{LIST}?order={order_id}", api.operator)
    assert status == 200, answer
    assert {row["orderId"] for row in answer["notifications"]} <= {order_id}
    assert answer["total"] == len(answer["notifications"])
    return list(reversed(answer["notifications"]))


async def tried(api: Api, order_id: str, name: str, result: SendResult, code: str | None) -> None:
    data = NotificationResult(notification_id=name, attempt=1, result=result, code=code)
    command = Command(
        order_id=order_id, command_id=f"result-{name}", issued_at="2026-01-01T00:00:00.000Z",
        issued_by="system:notifier", command_type=CommandType.NOTIFICATION_RESULT, data=data,
    )  # fmt: skip
    await api.world.feed(NOTIFICATION_COMMANDS, order_id, encode(command))


def retry_path(order_id: str, name: str) -> str:
    return f"{LIST}/{order_id}/{name}/retry"


async def test_the_list_names_events_channels_and_states_and_nobody(api: Api) -> None:
    order = await api.paid()
    shown = await listed(api, order["orderId"])
    assert sorted((n["eventType"], n["channel"], n["status"], n["tries"]) for n in shown) == [
        ("PAYMENT_COMPLETED", "EMAIL", "PENDING", 0), ("PAYMENT_COMPLETED", "SMS", "PENDING", 0)
    ]  # fmt: skip
    assert not any(n["canRetry"] for n in shown)
    assert "asha" not in str(shown).lower()
    assert "98765" not in without_ids(str(shown))


async def test_a_retry_sets_it_going_again_once_for_each_key(api: Api) -> None:
    order_id = (await api.paid())["orderId"]
    name = (await listed(api, order_id))[0]["notificationId"]
    await tried(api, order_id, name, SendResult.REFUSED, "SMTP_550")
    failed = (await listed(api, order_id))[0]
    assert (failed["status"], failed["code"], failed["tries"]) == ("FAILED", "SMTP_550", 1)
    assert failed["reason"] == "There is no such mailbox, or it takes nothing from us."
    assert failed["canRetry"]
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
        status, problem = await api.get(f"{LIST}?order={order_id}", token)
        assert (status, problem["code"]) == expected
        status, problem, _ = await api.post(retry_path(order_id, "notif_x"), {}, token=token)
        assert (status, problem["code"]) == expected


async def test_an_order_that_is_not_there(api: Api) -> None:
    status, problem = await api.get(f"{LIST}?order={UNKNOWN}", api.operator)
    assert (status, problem["code"]) == (404, "ORDER_UNKNOWN")


# -- over all orders

CHANNELS = ("EMAIL", "SMS")


async def rows(api: Api, query: str = "", **headers: str) -> dict[str, Any]:
    status, answer = await api.get(f"{LIST}?{query}", api.operator, **headers)
    assert status == 200, answer
    return dict(answer)


async def test_all_orders_the_latest_first_and_whatever_became_of_them(api: Api) -> None:
    orders = [(await api.paid())["orderId"] for _ in range(3)]
    first, second = (n["notificationId"] for n in await listed(api, orders[0]))
    await tried(api, orders[0], first, SendResult.REFUSED, "SMTP_552")
    await tried(api, orders[0], second, SendResult.SENT, None)
    answer = await rows(api)
    assert [row["orderId"] for row in answer["notifications"]] == [
        order for order in reversed(orders) for _ in CHANNELS
    ]
    assert answer["counts"] == {
        "PENDING": 4, "SENT": 1, "FAILED": 1, "WAITING_FOR_OPERATOR": 0, "HELD": 0, "SUPERSEDED": 0
    }  # fmt: skip
    assert (answer["total"], answer["isBounded"], answer["incomplete"]) == (6, False, [])
    assert "next" not in answer
    assert "asha" not in str(answer).lower()
    (failed,) = (await rows(api, "state=FAILED"))["notifications"]
    assert (failed["notificationId"], failed["reason"]) == (first, "The mailbox is full.")


async def test_what_is_held_back_is_shown_with_its_reason_and_can_be_sent(
    make_api: MakeApi,
) -> None:
    world = InMemoryBackend()
    service = notifications_service(NotificationPolicy(repeat_after_ms=3_600_000))
    world.tables["notifications"] = InMemoryTable(service, "notifications")
    api = await make_api(world)
    order = await api.order()
    for _ in range(3):
        assert (await api.confirm(order, "pm_card_chargeDeclined"))[1]["status"] == "FAILED"
    shown = [each for each in await listed(api, order["orderId"]) if each["channel"] == "EMAIL"]
    assert [each["status"] for each in shown] == ["PENDING", "SUPERSEDED", "HELD"]
    (held,) = (await rows(api, "state=HELD&channel=EMAIL"))["notifications"]
    assert (held["code"], held["canRetry"]) == ("REPEATED", True)
    assert held["reason"].startswith("The order has had such a message just now")
    waits_ms = from_rfc3339(held["heldUntil"]) - from_rfc3339(shown[0]["requestedAt"])
    assert waits_ms == 3_600_000
    for path in ("/ops/notifications?state=HELD", f"/ops/orders/{order['orderId']}"):
        headers = {"Authorization": f"Bearer {api.operator}", "Accept": "text/html"}
        async with api.client.get(path, headers=headers) as response:
            text = await response.text()
        assert "such a message just now" in text
        assert "Not before" in text
    timeline = await api.get(f"/api/orders/{order['orderId']}/timeline", api.operator)
    told = [each["eventType"] for each in timeline[1]["entries"]]
    assert told.count("NOTIFICATION_HELD") == 4, "each one of both channels"
    path = retry_path(order["orderId"], held["notificationId"])
    status, answer, _ = await api.post(path, {}, token=api.operator)
    assert (status, answer["notification"]["status"]) == (200, "PENDING")
    assert "heldUntil" not in answer["notification"]


async def test_filters_leave_what_is_asked_for(api: Api) -> None:
    order = await api.order()
    await api.confirm(order, "pm_card_chargeDeclined")
    await api.confirm(order)
    assert {row["eventType"] for row in (await rows(api))["notifications"]} == {
        "PAYMENT_FAILED", "PAYMENT_COMPLETED"
    }  # fmt: skip
    for query, expected in (
        ("kind=PAYMENT_FAILED", {("PAYMENT_FAILED", c) for c in CHANNELS}),
        ("channel=SMS", {(k, "SMS") for k in ("PAYMENT_FAILED", "PAYMENT_COMPLETED")}),
        ("kind=PAYMENT_COMPLETED&channel=EMAIL&state=PENDING", {("PAYMENT_COMPLETED", "EMAIL")}),
        ("state=SENT", set()),
        (f"order={order['orderId']}&channel=SMS&kind=PAYMENT_FAILED", {("PAYMENT_FAILED", "SMS")}),
    ):
        answer = await rows(api, query)
        found = {(row["eventType"], row["channel"]) for row in answer["notifications"]}
        assert (found, answer["total"]) == (expected, len(expected)), query
        assert answer["counts"]["PENDING"] == 4, "counts are of all"


@pytest.mark.parametrize("whose", ["of all", "of one"])
async def test_pages_hold_each_message_once_whatever_comes_meanwhile(api: Api, whose: str) -> None:
    order = await api.order()
    for _ in range(3):
        await api.confirm(order, "pm_card_chargeDeclined")
    query = "limit=4" if whose == "of all" else f"limit=4&order={order['orderId']}"
    expected = [row["notificationId"] for row in (await rows(api, query[8:]))["notifications"]]
    assert len(expected) == 6
    page = await rows(api, query)
    found = [row["notificationId"] for row in page["notifications"]]
    await api.paid()  # somebody else's, newer than all of these
    await tried(api, order["orderId"], expected[5], SendResult.SENT, None)
    page = await rows(api, f"{query}&before={page['next']}")
    found += [row["notificationId"] for row in page["notifications"]]
    assert found == expected
    assert "next" not in page


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("state=OPEN", ["state"]),
        ("channel=email", ["channel"]),
        ("kind=ORDER_PREPARING", ["kind"]),
        ("order=x", ["order"]),
        ("limit=0", ["limit"]),
        ("limit=501", ["limit"]),
        ("before=17", ["before"]),
        ("before=", ["before"]),
        ("since=yesterday", ["since"]),
        ("state=SENT&state=FAILED", ["state"]),
        ("state=x&channel=y&kind=z&order=o&limit=n&before=b",
         ["state", "channel", "kind", "order", "before", "limit"]),
    ],
)  # fmt: skip
async def test_filters_that_are_refused_are_named(api: Api, query: str, fields: list[str]) -> None:
    status, problem = await api.get(f"{LIST}?{query}", api.operator)
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED")
    assert [error["field"] for error in problem["errors"]] == fields


async def worker(make_api: MakeApi, **table: Any) -> Api:
    world = InMemoryBackend()
    service = notifications_service()
    world.tables["notifications"] = PartitionedTable(service, "notifications", **table)
    return await make_api(world)


async def test_every_worker_is_asked_for_its_own_and_who_is_missing_is_named(
    make_api: MakeApi,
) -> None:
    other = await worker(make_api, mine=(0,))
    there = other.client.make_url("/")
    await other.paid()
    api = await worker(make_api, mine=(1,), owners={0: there})
    answer = await rows(api)
    assert {row["orderId"] for row in answer["notifications"]} == set(
        other.world.tables["notifications"].records
    )
    assert (answer["counts"]["PENDING"], answer["incomplete"]) == (2, [2])
    assert (await rows(api, "channel=SMS"))["total"] == 1
    assert (await rows(other, **{PARTITIONS: "0,1"})).keys() == {"0"}


async def test_what_was_sent_before_this_worker_had_the_partition_is_read_once(
    make_api: MakeApi,
) -> None:
    world = InMemoryBackend()
    table = world.tables["notifications"] = InMemoryTable(notifications_service(), "notifications")
    earlier = await make_api(world)
    order_id = (await earlier.paid())["orderId"]
    for name in [n["notificationId"] for n in await listed(earlier, order_id)]:
        await tried(earlier, order_id, name, SendResult.SENT, None)
    table.listeners.clear()
    api = await make_api(world)
    assert (await rows(api, "state=PENDING"))["counts"]["SENT"] == 2, "the counts are of all"
    assert (await rows(api))["total"] == 2


async def test_an_application_without_notifications_has_no_list(make_api: MakeApi) -> None:
    api = await make_api()
    status, problem = await api.get(LIST, api.operator)
    assert (status, problem["code"]) == (404, "NOT_FOUND")


# -- the page


async def page(api: Api, query: str = "") -> str:
    headers = {"Authorization": f"Bearer {api.operator}", "Accept": "text/html"}
    async with api.client.get(f"/ops/notifications?{query}", headers=headers) as response:
        assert response.status == 200
        return await response.text()


async def test_the_page_tells_in_words_what_failed_and_offers_another_try(api: Api) -> None:
    order_id = (await api.paid())["orderId"]
    first, second = (n["notificationId"] for n in await listed(api, order_id))
    await tried(api, order_id, first, SendResult.REFUSED, "SMTP_550")
    text = await page(api)
    assert "Payment received" in text
    assert "There is no such mailbox, or it takes nothing from us." in text
    assert f"/ops/orders/{order_id}/retry-notification?which={first}" in text
    assert f"which={second}" not in text, "it has not failed"
    assert "asha" not in text.lower()
    assert "98765" not in without_ids(text)
    assert f"which={first}" not in await page(api, "state=PENDING")
    assert f"which={first}" in await page(api, f"state=FAILED&channel=&kind=&order={order_id}")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("state=nonsense", "state: accepted: PENDING, SENT"),
        ("order=nonsense", "order: accepted: an id of ours"),
        (f"order={UNKNOWN}", "There is no such order."),
        ("state=SENT", "No messages match. Change the filter to see others."),
    ],
)
async def test_the_page_tells_what_it_can_not_show(api: Api, query: str, words: str) -> None:
    assert words in await page(api, query)


async def test_the_page_leads_to_older_ones(api: Api) -> None:
    for _ in range(2):
        await api.paid()
    text = await page(api, "limit=3&channel=")
    (older,) = re.findall(r'href="([^"]+)" rel="next"', text)
    text = await page(api, html.unescape(older).partition("?")[2])
    assert text.count("<tr>") == 2, "the head, and the last one"
    assert ">Newest</a>" in text
    assert 'rel="next"' not in text


def test_every_kind_and_state_has_its_words() -> None:
    assert notifications.KINDS.keys() == CHANNELS_BY_EVENT.keys()
    assert notifications.STATES.keys() == set(NotificationStatus)
    assert notifications.CHANNELS.keys() == set(Channel)
