"""Deadlines on the whole platform: unanswered and unpaid orders end, once, whoever was down meanwhile.

Both workers' clocks are wrong, in both ways: all goes by Kafka's, and they say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import aiohttp
import httpx
import orjson
import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from models import ids
from models.times import from_rfc3339
from models.topics import ORDER_COMMANDS, ORDER_EVENTS
from sandbox.card_numbers import THREE_D_SECURE_ALWAYS
from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S, wait_until
from tests.support.kafka_topics import read_all
from tests.support.platforms import OtherAppPlatform

SETTINGS = {"TIFFIN_PAYMENT_DEADLINE_S": "25", "TIFFIN_KITCHEN_DEADLINE_S": "15"}
WITHIN_S = MAX_WAIT_S


AHEAD_S: Final = (3 * 3600, -40 * 60)
"""Of each worker's clock. So far ahead Kafka refuses records that bear their producer's time."""


class ShiftedClockPlatform(OtherAppPlatform):
    """Its workers' clocks are off, so they serve what they own and are not ready."""

    faust_app = "tests.support.clock_shifted_app"

    def environment(self, worker: int = 0) -> dict[str, str]:
        return {**super().environment(worker), "CLOCK_AHEAD_S": str(AHEAD_S[worker])}

    def wait_ready(self, timeout_s: float = 90.0) -> None:
        """Until nothing but its clock is wrong with each worker."""
        for worker in range(len(AHEAD_S)):
            wait_until(
                lambda worker=worker: self.reasons(worker) == [REASONS[worker]],
                f"worker {worker} to have nothing against it but its clock", timeout_s=timeout_s,
            )  # fmt: skip

    def reasons(self, worker: int) -> list[str]:
        """Why a worker says that it is not ready."""
        try:
            httpx.get(f"{self.endpoints.workers[worker]}/readyz").raise_for_status()
        except httpx.HTTPStatusError as error:
            return list(error.response.json()["reasons"])
        except httpx.TransportError:
            return ["it does not answer"]
        return []


REASONS: Final = (
    "this worker's clock is 10800 s ahead of Kafka's: set it (NTP)",
    "this worker's clock is 2400 s behind Kafka's: set it (NTP)",
)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShiftedClockPlatform]:
    folder = tmp_path_factory.mktemp("deadlines")
    with ShiftedClockPlatform(folder, workers=2, settings=SETTINGS) as running:
        yield running


class Control:
    """Stripe's stand-in, as tests steer it."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self.base, self.session = base, session

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, f"{self.base}{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def hold_cancel(self, intent: str) -> str:
        """Keep the cancel of an intent from taking effect until it is released."""
        body = {"kind": "hold", "method": "POST", "path": f"/{intent}/cancel$", "times": None}
        return str((await self.call("POST", "/faults", body))["id"])

    async def is_met(self, fault: str) -> bool:
        found = await self.call("GET", "/faults")
        return any(each["id"] == fault and each["hits"] for each in found)

    async def intent(self, intent: str) -> dict[str, Any]:
        return dict((await self.call("GET", "/ledger"))["payment_intents"][intent])


@pytest.fixture
async def control(platform: Platform) -> AsyncIterator[Control]:
    async with aiohttp.ClientSession() as session:
        made = Control(platform.endpoints.control, session)
        yield made
        await made.call("DELETE", "/faults")


@pytest.fixture
async def stack() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as opened:
        yield opened


async def placed(platform: Platform, stack: contextlib.AsyncExitStack) -> Customer:
    made = Customer(platform.endpoints.workers[0], platform.endpoints.stripe)
    customer = await stack.enter_async_context(made)
    await customer.open_payment()
    return customer


async def paid(platform: Platform, stack: contextlib.AsyncExitStack) -> Customer:
    customer = await placed(platform, stack)
    await customer.confirm()
    await customer.wait_status("PENDING")
    return customer


async def checks(platform: Platform, order_id: str, kind: str) -> set[str]:
    """Ids of the commands that asked for a deadline to be checked."""
    records = await asyncio.to_thread(read_all, platform.bootstrap, ORDER_COMMANDS)
    commands = [orjson.loads(r.value) for r in records if r.key.decode() == order_id]
    return {
        each["commandId"]
        for each in commands
        if each["commandType"] == "CHECK_DEADLINE" and each["data"]["deadline"] == kind
    }


async def cancels(platform: Platform, order_id: str) -> list[str]:
    """Reasons of the order's cancels, one an event id."""
    records = await asyncio.to_thread(read_all, platform.bootstrap, ORDER_EVENTS)
    events = [orjson.loads(r.value) for r in records if r.key.decode() == order_id]
    found = {e["eventId"]: e for e in events if e["eventType"] == "ORDER_CANCELLED"}
    return [event["data"]["reason"] for event in found.values()]


async def unanswered(platform: Platform, stack: contextlib.AsyncExitStack) -> None:
    customer = await paid(platform, stack)
    seen = await customer.look()
    due_ms = from_rfc3339(seen["deadlines"]["KITCHEN"])
    order = await customer.wait_status("REFUNDED")
    assert order["cancelReason"] == "RESTAURANT_TIMEOUT"
    assert order["payment"]["net"]["amount"] == 0
    assert from_rfc3339(order["reached"]["CANCELLED"]) >= due_ms
    assert await cancels(platform, customer.order_id) == ["RESTAURANT_TIMEOUT"]
    assert len(await checks(platform, customer.order_id, "KITCHEN")) == 1


async def unpaid(platform: Platform, stack: contextlib.AsyncExitStack, control: Control) -> None:
    customer = await placed(platform, stack)
    seen = await customer.look()
    due_ms, intent = from_rfc3339(seen["deadlines"]["PAYMENT"]), intent_of(seen)
    fault = await control.hold_cancel(intent)
    await customer.until(lambda: none_if_not(control.is_met(fault)), "the cancel at Stripe")
    # Stripe has not said a word yet: the order waits for it.
    order = await customer.look()
    assert (order["status"], order["deadlines"]) == ("PAYMENT_PENDING", {})
    await control.call("POST", "/faults/release", {"id": fault})
    order = await customer.wait_status("CANCELLED")
    assert order["cancelReason"] == "PAYMENT_EXPIRED"
    assert from_rfc3339(order["reached"]["CANCELLED"]) >= due_ms
    assert (await control.intent(intent))["status"] == "canceled"
    assert await cancels(platform, customer.order_id) == ["PAYMENT_EXPIRED"]
    assert len(await checks(platform, customer.order_id, "PAYMENT")) == 1


async def paid_at_the_last_moment(
    platform: Platform, stack: contextlib.AsyncExitStack, control: Control
) -> None:
    customer = await placed(platform, stack)
    answer = await customer.confirm(THREE_D_SECURE_ALWAYS)
    assert answer["status"] == "REQUIRES_ACTION", answer
    intent = intent_of(await customer.look())
    fault = await control.hold_cancel(intent)
    await customer.until(lambda: none_if_not(control.is_met(fault)), "the cancel at Stripe")
    await control.call("POST", f"/3ds/{intent}", {"outcome": "succeed"})
    await customer.wait_until(lambda seen: "PENDING" in seen["reached"], "the order to be paid")
    await control.call("POST", "/faults/release", {"id": fault})
    # It goes on as any paid order does: nobody in the kitchen answers here.
    order = await customer.wait_status("REFUNDED")
    assert order["payment"]["attempt"] == 1
    assert await cancels(platform, customer.order_id) == ["RESTAURANT_TIMEOUT"]
    charges = (await control.intent(intent))["charges"]
    assert charges == {"succeeded": 1, "pending": 0, "failed": 0}


def intent_of(order: dict[str, Any]) -> str:
    return str(order["payment"]["stripeIntentId"])


async def metric(platform: Platform, name: str) -> dict[str, float]:
    """Of all workers together, by kind."""
    found: defaultdict[str, float] = defaultdict(float)
    async with aiohttp.ClientSession() as session:
        for worker in platform.endpoints.workers:
            async with session.get(f"{worker}/metrics") as answer:
                for family in text_string_to_metric_families(await answer.text()):
                    for sample in family.samples:
                        if sample.name == name:
                            found[sample.labels["kind"]] += sample.value
    return dict(found)


async def none_if_not(condition: Any) -> bool | None:
    return (await condition) or None


async def test_deadlines_of_the_kitchen_and_of_the_payment(
    platform: Platform, stack: contextlib.AsyncExitStack, control: Control
) -> None:
    """Together, because each waits for its deadline."""
    await asyncio.gather(
        unanswered(platform, stack),
        unpaid(platform, stack, control),
        paid_at_the_last_moment(platform, stack, control),
    )
    fired = await metric(platform, "tiffin_timers_fired_total")
    assert fired == {"KITCHEN": 2.0, "PAYMENT": 2.0}
    assert await metric(platform, "tiffin_timers_lateness_seconds_count") == fired
    assert await metric(platform, "tiffin_timers_due") == {"KITCHEN": 0.0, "PAYMENT": 0.0}


async def test_a_wrong_clock_is_told_by_metrics_log_and_the_operators_first_screen(
    platform: ShiftedClockPlatform, stack: contextlib.AsyncExitStack
) -> None:
    session = await stack.enter_async_context(aiohttp.ClientSession())
    for worker, ahead_s in enumerate(AHEAD_S):
        url = platform.endpoints.workers[worker]
        async with session.get(f"{url}/metrics") as answer:
            found = {
                sample.name: sample.value
                for family in text_string_to_metric_families(await answer.text())
                for sample in family.samples
            }
        assert found["tiffin_clock_offset_seconds"] == pytest.approx(ahead_s, abs=20)
        assert found["tiffin_clock_brokers_differ_seconds"] == 0
        assert found["tiffin_ready"] == 0
        assert REASONS[worker] in platform.log_path(worker).read_text()
    signed_in = {"role": "operator", "subject": "olga"}
    async with session.post(f"{url}/api/login/development", json=signed_in) as answer:
        token = (await answer.json())["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    async with session.get(f"{url}/api/ops/overview", headers=bearer) as answer:
        concerns = {each["code"]: each for each in (await answer.json())["concerns"]}
    for reason in REASONS:
        assert reason in concerns["CLOCK"]["detail"]


@pytest.mark.parametrize("at_ms", [1, 4_102_444_800_000], ids=["1970", "2099"])
async def test_a_time_that_a_producer_made_up_moves_no_clock(
    platform: ShiftedClockPlatform, stack: contextlib.AsyncExitStack, at_ms: int
) -> None:
    """PLACE_ORDER again, of a new order, by a producer that writes its own time."""
    customer = await placed(platform, stack)
    records = await asyncio.to_thread(read_all, platform.bootstrap, ORDER_COMMANDS)
    command = next(
        orjson.loads(record.value) for record in records if record.key.decode() == customer.order_id
    )
    order_id = ids.order_id("guest", f"odd-{at_ms}")
    value = orjson.dumps({**command, "orderId": order_id, "commandId": ids.command_id(order_id)})
    producer = Producer({"bootstrap.servers": platform.bootstrap, "log_level": 0})
    producer.produce(ORDER_COMMANDS, value, order_id, timestamp=at_ms)
    assert await asyncio.to_thread(producer.flush, 30) == 0
    now_ms = time.time() * 1000

    async def find() -> dict[str, Any] | None:
        events = await asyncio.to_thread(read_all, platform.bootstrap, ORDER_EVENTS)
        mine = [orjson.loads(r.value) for r in events if r.key.decode() == order_id]
        return mine[0] if mine else None

    event = await customer.until(find, "the order's first event")
    assert abs(from_rfc3339(event["occurredAt"]) - now_ms) < WITHIN_S * 1000


async def test_deadlines_that_passed_while_nobody_ran_fire_once(
    platform: Platform, stack: contextlib.AsyncExitStack
) -> None:
    without_money = await placed(platform, stack)
    without_answer = await paid(platform, stack)
    due_ms = max(
        from_rfc3339((await without_money.look())["deadlines"]["PAYMENT"]),
        from_rfc3339((await without_answer.look())["deadlines"]["KITCHEN"]),
    )
    # At once, for the time until the deadlines is short on a loaded machine.
    await asyncio.gather(*(asyncio.to_thread(worker.terminate, 0) for worker in platform.workers))
    for customer in (without_money, without_answer):
        assert await cancels(platform, customer.order_id) == [], "too slow to be a test"
    await asyncio.to_thread(
        wait_until, lambda: time.time() * 1000 > due_ms, "the deadlines", timeout_s=MAX_WAIT_S
    )
    for worker in platform.workers:
        worker.start()
    await asyncio.to_thread(platform.wait_ready)
    order = await without_answer.wait_status("REFUNDED")
    assert order["cancelReason"] == "RESTAURANT_TIMEOUT"
    order = await without_money.wait_status("CANCELLED")
    assert order["cancelReason"] == "PAYMENT_EXPIRED"
    assert await cancels(platform, without_money.order_id) == ["PAYMENT_EXPIRED"]
    assert await cancels(platform, without_answer.order_id) == ["RESTAURANT_TIMEOUT"]
    assert len(await checks(platform, without_money.order_id, "PAYMENT")) == 1
    assert len(await checks(platform, without_answer.order_id, "KITCHEN")) == 1


async def test_deadlines_of_a_worker_that_was_killed_fire_once(
    platform: Platform, stack: contextlib.AsyncExitStack
) -> None:
    customers = await asyncio.gather(*(placed(platform, stack) for _ in range(6)))
    exits = len(platform.workers[1].exits)
    platform.workers[1].kill()
    await asyncio.to_thread(platform.workers[1].wait_exits, exits + 1, timeout_s=WITHIN_S)
    for customer in customers:
        order = await customer.wait_status("CANCELLED")
        assert order["cancelReason"] == "PAYMENT_EXPIRED"
        assert await cancels(platform, customer.order_id) == ["PAYMENT_EXPIRED"]
        # Old and new owner may both have asked; it was the same command then.
        assert len(await checks(platform, customer.order_id, "PAYMENT")) == 1
