"""Notifications on the whole platform: real Kafka, a worker that dies, mail and short messages."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import aiohttp
import pytest
from confluent_kafka import Consumer, TopicPartition

from app.kafka.sender import KafkaCommandSender
from app.settings import SANDBOX_TOKEN_KEY
from models import ids
from models.commands import Command, CommandType, NoData
from models.messages import Message
from models.topics import DEAD_LETTERS, ORDER_COMMANDS, TOPICS
from sandbox.api_client import RefusedError
from sandbox.card_numbers import DECLINED
from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S
from sandbox.staff import Staff
from tests.support.platforms import PATIENT
from web.http.tokens import DevelopmentStaff, Role

TRIES = 3
SETTINGS = PATIENT | {
    "TIFFIN_NOTIFICATION_TRIES": str(TRIES),
    "TIFFIN_NOTIFICATION_FIRST_PAUSE_S": "0.05",
    "TIFFIN_NOTIFICATION_LONGEST_PAUSE_S": "0.2",
    "TIFFIN_SMTP_TIMEOUT_S": "600",
    "TIFFIN_SMS_TIMEOUT_S": "600",
    "TIFFIN_GROUP_INSTANCE_ID": "one",  # a restart need not wait for its own session's end
    "TIFFIN_LOG_FORMAT": "json",
}
STREET = "Zanzibar Lane"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("notifications")
    with Platform(folder, workers=1, settings=SETTINGS) as running:
        yield running


class Day:
    """Customers of their own name and number, an operator, the kitchen, and the mailbox."""

    def __init__(
        self, platform: Platform, stack: AsyncExitStack, http: aiohttp.ClientSession
    ) -> None:
        self.platform, self.stack, self.http = platform, stack, http
        self.web, self.mailbox = platform.endpoints.workers[0], platform.endpoints.mailbox
        self.sender = KafkaCommandSender(platform.bootstrap)
        token = DevelopmentStaff(SANDBOX_TOKEN_KEY, sandbox=True).issue(Role.OPERATOR, "olga")
        self.contacts: dict[str, dict[str, str]] = {}
        self.operator = {"Authorization": f"Bearer {token}"}

    async def customer(self) -> Customer:
        """One whose payment is open."""
        made = Customer(self.web, self.platform.endpoints.stripe)
        await self.stack.enter_async_context(made)
        number = next(numbers)
        basket = await made.basket()
        basket["contact"] = {
            "name": f"Zebedee {number}", "email": f"zebedee{number}@example.com",
            "phone": f"+91 97531 {number:05d}",
        }  # fmt: skip
        basket["address"] = {**basket["address"], "line1": f"{number} {STREET}"}
        await made.open_payment(basket)
        self.contacts[made.order_id] = basket["contact"]
        return made

    async def command(self, order_id: str, kind: CommandType, data: Message) -> None:
        """What the kitchen or a courier asks for."""
        await self.sender.send(
            Command(
                order_id=order_id, command_id=ids.command_id(order_id, kind), command_type=kind,
                issued_at="2026-01-01T00:00:00.000Z", issued_by="system:test", data=data,
            )
        )  # fmt: skip

    async def cli(self, *arguments: str) -> Any:
        """What `faust -A app notifications` prints."""
        text = await asyncio.to_thread(self.platform.run_cli, "notifications", *arguments, "--json")
        answer = json.loads(text)
        return answer.get("notifications", answer)

    async def fault(self, **fault: Any) -> None:
        async with self.http.post(f"{self.mailbox}/_control/faults", json=fault) as response:
            assert response.status == 201, await response.text()

    async def no_more_faults(self) -> None:
        async with self.http.delete(f"{self.mailbox}/_control/faults") as response:
            assert response.status == 200

    async def messages(self, order_id: str) -> list[dict[str, Any]]:
        async with self.http.get(
            f"{self.mailbox}/messages", params={"order": order_id}
        ) as response:
            answer = await response.json()
            return list(answer["messages"])

    async def notifications(self, order_id: str) -> list[dict[str, Any]] | None:
        """None while the worker is not ready."""
        url = f"{self.web}/api/ops/notifications"
        try:
            async with self.http.get(
                url, params={"order": order_id}, headers=self.operator
            ) as response:
                answer = await response.json()
                return list(answer["notifications"]) if response.status == 200 else None
        except aiohttp.ClientError:
            return None

    async def pages(self) -> list[dict[str, Any]]:
        """The whole list of all orders, page by page."""
        found: list[dict[str, Any]] = []
        before: dict[str, str] = {}
        while True:
            query = {"limit": "3", **before}
            url = f"{self.web}/api/ops/notifications"
            async with self.http.get(url, params=query, headers=self.operator) as response:
                assert response.status == 200, await response.text()
                page = await response.json()
            assert not page["incomplete"]
            found += page["notifications"]
            if "next" not in page:
                assert len(found) == page["total"]
                return found
            before = {"before": page["next"]}

    async def until(self, ask: Callable[[], Awaitable[Any]], what: str) -> Any:
        """Ask until the answer is a true one."""
        seen = None
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                while not (seen := await ask()):  # noqa: ASYNC110 - over HTTP nobody sets an event
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}") from None
        return seen

    async def until_statuses(
        self, order_id: str, *expected: tuple[str, str]
    ) -> list[dict[str, Any]]:
        """Until all notifications, as (event, status), are these for both channels."""

        async def asked() -> list[dict[str, Any]] | None:
            shown = await self.notifications(order_id) or []
            found = sorted((n["eventType"], n["status"]) for n in shown)
            return shown if found == sorted(expected * 2) else None

        answer: list[dict[str, Any]] = await self.until(asked, f"notifications {expected}")
        return answer


@pytest.fixture
async def day(platform: Platform) -> AsyncIterator[Day]:
    timeout = aiohttp.ClientTimeout(total=MAX_WAIT_S)
    async with AsyncExitStack() as stack, aiohttp.ClientSession(timeout=timeout) as http:
        made = Day(platform, stack, http)
        yield made
        await made.sender.stop()
        await made.no_more_faults()


async def has_taken(courier: Staff, order_id: str, step: str) -> bool:
    """Take a step with a delivery; not yet, while deliveries have not heard of what it needs."""
    try:
        await courier.deliver(order_id, step)
    except RefusedError as error:
        if error.status not in {404, 409}:
            raise
        return False
    return True


async def test_declines_of_an_order_are_told_once_and_then_the_success(day: Day) -> None:
    """An address that nobody has verified is not to be written to by whoever tries cards."""
    customer = await day.customer()
    for _ in range(8):
        assert (await customer.confirm(DECLINED))["status"] == "FAILED"
    await customer.wait_status("PAYMENT_FAILED")
    shown = await day.until_statuses(
        customer.order_id, ("PAYMENT_FAILED", "SENT"), ("PAYMENT_FAILED", "HELD"),
        *[("PAYMENT_FAILED", "SUPERSEDED")] * 6,
    )  # fmt: skip
    assert {each["code"] for each in shown if each["status"] == "HELD"} == {"REPEATED"}
    assert len(await day.messages(customer.order_id)) == 2
    await customer.confirm()
    await customer.wait_status("PENDING")
    await day.until_statuses(
        customer.order_id, ("PAYMENT_FAILED", "SENT"), ("PAYMENT_COMPLETED", "SENT"),
        *[("PAYMENT_FAILED", "SUPERSEDED")] * 7,
    )  # fmt: skip
    assert len(await day.messages(customer.order_id)) == 4


async def test_each_event_of_an_order_is_told_once_by_mail_and_once_by_message(day: Day) -> None:
    customer = await day.customer()
    order_id = customer.order_id
    assert (await customer.confirm(DECLINED))["status"] == "FAILED"
    await customer.wait_status("PAYMENT_FAILED")
    await customer.confirm()
    await customer.wait_status("PENDING")
    await day.command(order_id, CommandType.ACCEPT_ORDER, NoData())
    await day.command(order_id, CommandType.START_PREPARING, NoData())
    await day.command(order_id, CommandType.MARK_READY, NoData())
    await customer.wait_status("READY_FOR_PICKUP")
    async with Staff(day.web, "courier", "carl") as courier:
        for step in ("assign", "pick-up", "deliver"):
            await day.until(partial(has_taken, courier, order_id, step), step)
    await customer.wait_status("DELIVERED")
    told = (
        "PAYMENT_FAILED", "PAYMENT_COMPLETED", "ORDER_CONFIRMED", "ORDER_OUT_FOR_DELIVERY",
        "ORDER_DELIVERED",
    )  # fmt: skip
    shown = await day.until_statuses(order_id, *((kind, "SENT") for kind in told))
    messages = await day.messages(order_id)
    assert Counter(m["channel"] for m in messages) == {"EMAIL": 5, "SMS": 5}
    mails = {m["messageId"] for m in messages if m["channel"] == "EMAIL"}
    of_mails = {n["notificationId"] for n in shown if n["channel"] == "EMAIL"}
    assert mails == {f"<{name}@tiffin.example>" for name in of_mails}
    email, phone = day.contacts[order_id]["email"], day.contacts[order_id]["phone"]
    assert {message["to"] for message in messages} == {email, phone.replace(" ", "")}

    async def in_timeline() -> bool:
        rows = [r for r in await customer.timeline() if r["eventType"] == "NOTIFICATION_SENT"]
        return len(rows) == len(shown)

    await day.until(in_timeline, "the notifications in the timeline")


async def test_a_cancelled_order_and_its_refund_are_told(day: Day) -> None:
    customer = await day.customer()
    await customer.confirm()
    await customer.wait_status("PENDING")
    await customer.cancel()
    await customer.wait_status("REFUNDED")
    told = ("PAYMENT_COMPLETED", "ORDER_CANCELLED", "PAYMENT_REFUNDED")
    await day.until_statuses(customer.order_id, *((kind, "SENT") for kind in told))
    assert len(await day.messages(customer.order_id)) == 6


async def test_each_part_of_a_refund_is_told_with_what_remains(day: Day) -> None:
    customer = await day.customer()
    order_id = customer.order_id
    await customer.confirm()
    paid = (await customer.wait_status("PENDING"))["amount"]["amount"]
    told: list[tuple[str, str]] = [("PAYMENT_COMPLETED", "SENT")]
    for amount in (300, 200):
        key = {"Idempotency-Key": f"a-part-of-{amount:010d}"}
        for _ in range(2):
            async with day.http.post(
                f"{day.web}/api/payments/{order_id}/refunds", headers={**day.operator, **key},
                json={"amount": amount, "reason": "ITEM_MISSING"},
            ) as response:  # fmt: skip
                assert response.status == 201, await response.text()
        told.append(("PAYMENT_REFUND_PARTIAL", "SENT"))
        await day.until_statuses(order_id, *told)
    messages = [m for m in await day.messages(order_id) if "remains paid" in m["text"]]
    assert Counter(m["channel"] for m in messages) == {"EMAIL": 2, "SMS": 2}
    short = sorted(m["text"] for m in messages if m["channel"] == "SMS")
    for text, back, left in zip(short, (2, 3), (paid - 500, paid - 300), strict=True):
        assert f"INR {back}.00 refunded, INR {left / 100:,.2f} remains paid" in text


async def test_a_worker_killed_while_the_server_answers_repeats_the_same_message_id(
    day: Day,
) -> None:
    customer = await day.customer()
    order_id = customer.order_id
    for channel in ("EMAIL", "SMS"):
        await day.fault(channel=channel, kind="delay", seconds=600)
    await customer.confirm()

    async def taken() -> bool:
        return len(await day.messages(order_id)) == 2

    await day.until(taken, "both messages at their servers")
    worker = day.platform.workers[0]
    deaths = len(worker.exits)
    worker.kill()
    await asyncio.to_thread(worker.wait_exits, deaths + 1, timeout_s=MAX_WAIT_S)
    await day.until_statuses(order_id, ("PAYMENT_COMPLETED", "SENT"))
    messages = await day.messages(order_id)
    mails = [m for m in messages if m["channel"] == "EMAIL"]
    assert len(mails) == 2, "its fate was unknown"
    assert len({(m["messageId"], m["subject"], m["text"]) for m in mails}) == 1
    assert len([m for m in messages if m["channel"] == "SMS"]) == 1, "the provider was asked first"


async def test_failures_wait_for_an_operator_whose_retry_works(day: Day) -> None:
    customer = await day.customer()
    order_id = customer.order_id
    for channel, code in (("EMAIL", 451), ("SMS", 503)):
        await day.fault(channel=channel, kind="refuse", times=TRIES, code=code)
    await customer.confirm()
    waiting = await day.until_statuses(order_id, ("PAYMENT_COMPLETED", "WAITING_FOR_OPERATOR"))
    assert {(n["tries"], n["code"]) for n in waiting} == {
        (TRIES, "SMTP_451"),
        (TRIES, "TWILIO_503"),
    }
    assert not await day.messages(order_id)
    async with day.http.get(f"{day.web}/metrics") as response:
        assert 'tiffin_notifications{state="waiting_for_operator"} 2.0' in await response.text()
    rows = await day.cli("--state", "WAITING_FOR_OPERATOR")
    assert {row["notificationId"] for row in rows} == {n["notificationId"] for n in waiting}
    assert all(row["canRetry"] and row["orderId"] == order_id for row in rows)
    assert {row["reason"] for row in rows} == {
        "The mail server had a fault of its own.", "The SMS provider had a fault of its own."
    }  # fmt: skip
    by_cli, *by_api = waiting
    told = await day.cli("retry", by_cli["notificationId"], "--order", order_id)
    assert told["notification"]["status"] == "PENDING"
    for notification in by_api:
        url = f"{day.web}/api/ops/notifications/{order_id}/{notification['notificationId']}/retry"
        headers = {**day.operator, "Idempotency-Key": f"retry-{notification['notificationId']}"}
        async with day.http.post(url, json={}, headers=headers) as response:
            assert response.status == 200, await response.text()
    await day.until_statuses(order_id, ("PAYMENT_COMPLETED", "SENT"))
    assert len(await day.messages(order_id)) == 2
    url = f"{day.web}/api/orders/{order_id}/timeline"

    async def retried() -> list[dict[str, Any]] | None:
        async with day.http.get(url, headers=day.operator) as response:
            rows = (await response.json())["entries"]
        assert "NOTIFICATION_FAILED" in {row["eventType"] for row in rows}
        found = [row for row in rows if row["eventType"] == "NOTIFICATION_RETRIED"]
        return found if len(found) >= len(waiting) else None

    rows = await day.until(retried, "the retries in the timeline")
    by = {row["detail"]["by"] for row in rows}
    assert by == {"operator:olga", "operator:cli"}


async def test_all_of_them_are_listed_also_after_a_restart(day: Day) -> None:
    """What was sent before the worker had its partitions is in the table alone."""
    customer = await day.customer()
    await customer.confirm()
    await day.until_statuses(customer.order_id, ("PAYMENT_COMPLETED", "SENT"))
    before = await day.pages()
    worker = day.platform.workers[0]
    deaths = len(worker.exits)
    worker.kill()
    await asyncio.to_thread(worker.wait_exits, deaths + 1, timeout_s=MAX_WAIT_S)
    await asyncio.to_thread(day.platform.wait_ready)
    assert await day.pages() == before
    assert len({row["orderId"] for row in before}) >= 2
    assert {row["status"] for row in before} <= {"SENT", "SUPERSEDED"}, "nothing is left to be sent"
    places = [(row["occurredAt"], row["notificationId"]) for row in before]
    assert places == sorted(set(places), reverse=True)


def test_no_contact_data_in_any_topic_of_events_or_log(platform: Platform) -> None:
    """Last, so that all of the above is looked through."""
    found: Counter[str] = Counter()
    records: Counter[str] = Counter()
    for topic, value in _all_records(platform.bootstrap):
        records[topic] += 1
        found[topic] += any(word in value.lower() for word in (b"zebedee", b"97531", b"zanzibar"))
    assert +found == {ORDER_COMMANDS: next(numbers) - 1}, "the orders as they were placed"
    assert records["notification-commands"] > 20
    assert records[DEAD_LETTERS] == 0
    log = platform.log_path(0).read_text()
    assert "a notification was tried" in log
    for word in ("zebedee", "97531", "zanzibar"):
        assert word not in log.lower()


def _all_records(bootstrap: str) -> Iterator[tuple[str, bytes]]:
    """Topic, and value with headers, of every record of the registry's topics."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "look-through"})
    try:
        known = consumer.list_topics(timeout=MAX_WAIT_S).topics
        places = [
            TopicPartition(topic, partition, 0)
            for topic in TOPICS
            for partition in known[topic].partitions
        ]
        left = sum(consumer.get_watermark_offsets(place, timeout=MAX_WAIT_S)[1] for place in places)
        consumer.assign(places)
        while left:
            (record,) = consumer.consume(1, timeout=MAX_WAIT_S)
            assert record.error() is None, record.error()
            left -= 1
            headers = b" ".join(header or b"" for _, header in record.headers() or ())
            yield record.topic() or "", (record.value() or b"") + headers
    finally:
        consumer.close()
