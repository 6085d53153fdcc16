"""What an order costs on the whole platform: workers' CPU, latencies, what is sent to Stripe, Kafka and mail.

Orders come at a steady rate, whatever became of those before (an open loop). Only the timed part counts,
which begins when the platform is warm.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from confluent_kafka import Consumer, TopicPartition

from bench.processes import process_s
from sandbox.api_client import RefusedError
from sandbox.customer import Customer
from sandbox.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

IDLE_S: Final = 5.0
SETTINGS: Final = {"TIFFIN_STRIPE_RATE_PER_S": "500", "TIFFIN_LOG_FORMAT": "json"}
"""The stand-in has no rate of its own: none of ours is to hold an order back. Logs are as in the image."""
COMMIT_BATCHES: Final = re.compile(
    r'^tiffin_engine_commit_batches_total{service="[a-z]+"} (\S+)$', re.MULTILINE
)


@dataclass(slots=True)
class OrderCost:
    """What was measured. CPU: of all workers together, system calls included.

    cpu_ms: an order. idle: cores that the idle workers took before. calls_ms: request -> milliseconds from
    when it was due. counts: what was sent -> pieces an order. others_ms: process -> CPU an order.
    """

    orders: int
    rate_per_s: float
    cpu_ms: float
    idle: float
    calls_ms: Mapping[str, Sequence[float]]
    counts: Mapping[str, float]
    others_ms: Mapping[str, float]
    failures: Counter[str]

    def lines(self) -> list[str]:
        """For people."""
        shown = [
            f"{self.orders} orders, {self.rate_per_s:.1f}/s",
            f"{self.cpu_ms:.1f} ms of the workers' CPU an order; idle: {100 * self.idle:.1f} % of a core",
            *(
                f"{name}: p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms"
                for name, took in self.calls_ms.items()
                if len(took) > 1 and (cuts := quantiles(took, n=100))
            ),
            "an order: " + ", ".join(f"{count:.1f} {name}" for name, count in self.counts.items()),
            "CPU ms an order of the others: "
            + ", ".join(f"{name} {ms:.1f}" for name, ms in self.others_ms.items()),
        ]
        return [*shown, *(f"{count} failed: {what}" for what, count in self.failures.items())]


@dataclass(slots=True)
class _Load:
    """Customers who come, order and pay; each has a connection of their own, as browsers have."""

    platform: Platform
    rate_per_s: float
    is_timed: bool = False
    started: int = 0
    basket: dict[str, Any] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    calls_ms: dict[str, list[float]] = field(
        default_factory=lambda: {"create-intent": [], "confirm": []}
    )

    async def run(self, seconds: float) -> None:
        """Let them come for so long; those who came are waited for by `asyncio.TaskGroup`."""
        began, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while (due_s := number / self.rate_per_s) < seconds:
                await asyncio.sleep(max(0.0, began + due_s - time.monotonic()))
                group.create_task(self._customer(began + due_s, number))
                self.started += 1
                number += 1

    async def _customer(self, due_s: float, number: int) -> None:
        endpoints = self.platform.endpoints
        web = endpoints.workers[number % len(endpoints.workers)]
        try:
            async with Customer(web, endpoints.stripe) as customer:
                customer.order = await self._timed(
                    "create-intent", due_s, customer, "/api/payments/create-intent", self.basket
                )
                customer.token = str(customer.order["orderToken"])
                body = {
                    "orderId": customer.order_id,
                    "confirmationToken": await customer.card_token("4242424242424242"),
                }
                asked_s = time.monotonic()
                paid = await self._timed(
                    "confirm", asked_s, customer, "/api/payments/confirm", body
                )
            if paid.get("status") != "COMPLETED":
                self.failures[f"confirm gave {paid.get('status')}"] += 1
        except (aiohttp.ClientError, RefusedError, KeyError) as error:
            self.failures[repr(error)[:120]] += 1

    async def _timed(
        self, name: str, since_s: float, customer: Customer, path: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        _, answer = await customer.call("POST", path, body, str(uuid.uuid4()))
        if self.is_timed:
            self.calls_ms[name].append(1000 * (time.monotonic() - since_s))
        return dict(answer)


async def measure(
    platform: Platform,
    *,
    rate_per_s: float,
    seconds: float,
    warm_up_s: float,
    meanwhile: Coroutine[Any, Any, None] | None = None,
) -> OrderCost:
    """Load a platform that runs. meanwhile: goes on during the timed part, as a profiler does."""
    load = _Load(platform, rate_per_s)
    async with Customer(platform.endpoints.workers[0], platform.endpoints.stripe) as visitor:
        load.basket = await visitor.basket()
    idle = await _idle_cores(platform)
    warm = asyncio.create_task(load.run(warm_up_s + seconds))
    await asyncio.sleep(warm_up_s)
    load.is_timed = True
    before, counted = _cpu_s(platform), await _counts(platform)
    started, began = load.started, time.monotonic()
    watching = asyncio.create_task(meanwhile) if meanwhile else None
    await asyncio.sleep(seconds - 0.5)
    after, orders = _cpu_s(platform), load.started - started
    took_s = time.monotonic() - began
    await warm
    if watching:
        await watching
    counts = await _counts(platform)
    each_ms = {name: 1000 * (after[name] - before[name]) / orders for name in after}
    return OrderCost(
        orders=orders,
        rate_per_s=orders / took_s,
        cpu_ms=each_ms.pop("workers"),
        idle=idle,
        calls_ms=load.calls_ms,
        counts={name: (counts[name] - counted[name]) / (load.started - started) for name in counts},
        others_ms=each_ms,
        failures=load.failures,
    )


async def _idle_cores(platform: Platform) -> float:
    await asyncio.sleep(IDLE_S)  # what a start leaves to do
    before, began = _cpu_s(platform)["workers"], time.monotonic()
    await asyncio.sleep(IDLE_S)
    return (_cpu_s(platform)["workers"] - before) / (time.monotonic() - began)


def _cpu_s(platform: Platform) -> dict[str, float]:
    """Seconds of CPU so far: of all workers, Kafka, the stand-in, the mailbox and the customers."""
    used = {"workers": sum(process_s(worker.pid) for worker in platform.workers)}
    others = {"Kafka": platform.broker, "Stripe's stand-in": platform.stripe}
    others["mailbox"] = platform.mailbox
    used |= {name: process_s(part.pid) for name, part in others.items() if part}
    return {**used, "customers": process_s(os.getpid())}


async def _counts(platform: Platform) -> dict[str, float]:
    """How many there have been so far."""
    ends = await asyncio.to_thread(_end_offsets, platform.bootstrap)
    changelog = sum(end for topic, end in ends.items() if topic.endswith("-changelog"))
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{platform.endpoints.control}/requests") as response:
            asked = [
                each for each in await response.json() if "/confirmation_tokens" not in each["path"]
            ]
        async with session.get(f"{platform.endpoints.mailbox}/messages") as response:
            messages = (await response.json())["messages"]
        batches = 0.0
        for url in platform.endpoints.workers:
            async with session.get(f"{url}/metrics") as response:
                batches += sum(map(float, COMMIT_BATCHES.findall(await response.text())))
    return {
        "requests to Stripe": len(asked),
        "Kafka records": sum(ends.values()) - changelog,
        "changelog records": changelog,
        "commit batches": batches,
        "mails and short messages": messages[-1]["number"] if messages else 0,
    }


def _end_offsets(bootstrap: str) -> dict[str, int]:
    """Topic -> its partitions' end offsets, added up; Kafka's own topics left out."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-order-cost"})
    try:
        topics = consumer.list_topics(timeout=30).topics
        return {
            name: sum(
                consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=30)[1]
                for partition in topic.partitions
            )
            for name, topic in topics.items()
            if not name.startswith("__")
        }
    finally:
        consumer.close()
