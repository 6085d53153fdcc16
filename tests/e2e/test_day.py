"""A whole simulated day, with webhooks lost, late and doubled and with Stripe failing.

At its end every order has ended, all money adds up, and the tables are what their events say.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S
from sandbox.simulate import Simulation
from sandbox.staff import Staff
from tests.support import kafka_invariants
from tests.support.kafka_invariants import Record, Topics

SETTINGS = {
    "TIFFIN_STRIPE_WRITE_TIMEOUT_S": "3",
    "TIFFIN_RECONCILE_AFTER_S": "2",
    "TIFFIN_RECONCILE_INTERVAL_S": "2",
    "TIFFIN_RECONCILIATION_INTERVAL_S": "2",
    "TIFFIN_RECONCILIATION_GRACE_S": "5",
    "TIFFIN_RECONCILIATION_TOTALS_INTERVAL_S": "5",
}
WEBHOOK_FAULTS = (
    {"kind": "lose", "events": r"^payment_intent\.succeeded$", "times": 6},
    {"kind": "lose", "events": r"^refund\.", "times": 4},
    {"kind": "duplicate", "copies": 2, "times": 10},
    {"kind": "delay", "delay_s": 2.0, "times": 10},
    {"kind": "reorder", "batch": 3, "times": 6},
)
STRIPE_FAULTS = (
    {"kind": "error_500_before", "path": "/confirm$", "times": 2},
    {"kind": "error_500_after", "path": "/confirm$", "times": 2},
    {"kind": "timeout_after", "path": "/confirm$", "times": 1},
    {"kind": "drop_after", "path": "/refunds$", "times": 1},
    {"kind": "rate_limit", "times": 5},
    {"kind": "error_500_after", "path": "/payment_intents$", "times": 1},
)


async def control(platform: Platform, path: str, body: Any = None) -> Any:
    method = "GET" if body is None else "POST"
    url = platform.endpoints.control + path
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def arm(platform: Platform) -> None:
    """Have the next webhooks and Stripe writes go wrong, each kind as often as it says."""
    for rule in WEBHOOK_FAULTS:
        await control(platform, "/webhooks/rules", rule)
    for fault in STRIPE_FAULTS:
        await control(platform, "/faults", {"method": "POST", **fault})


async def live(platform: Platform, orders: int, rate_per_s: float, within_s: float) -> Simulation:
    await arm(platform)
    day = Simulation(
        platform.endpoints, seed=7, orders=orders, rate_per_s=rate_per_s,
        couriers=20, pace_s=0.3, concurrency=40,
    )  # fmt: skip
    async with asyncio.timeout(within_s):
        await day.run()
    return day


async def reconciled(operator: Staff) -> dict[str, Any]:
    """The reconciliation's view, once nothing is broken, differs or is settling."""
    view: dict[str, Any] = {}
    try:
        async with asyncio.timeout(MAX_WAIT_S):
            while True:
                view = await operator.get("/api/ops/reconciliation")
                run = view.get("run") or {}
                if view["isClean"] and run.get("comparedAt") and not run["settling"]:
                    return view
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise AssertionError(f"does not come clean: {view}") from None


def read_topics(platform: Platform) -> list[Record]:
    topics = Topics(platform.bootstrap)
    try:
        return topics.read()
    finally:
        topics.close()


async def check(platform: Platform, day: Simulation, orders: int) -> list[Record]:
    """Raise AssertionError for whatever is not right at the end of a day; gives all of its records."""
    assert len(day.simulated) == orders
    async with Staff(platform.endpoints.workers[0], "operator", "day") as operator:
        view = await reconciled(operator)
        assert view["incomplete"] == []
        assert view["run"]["missing"], "webhooks were lost on purpose"
        assert {event["result"] for event in view["run"]["missing"]} == {"APPLIED"}
        letters = await operator.get("/api/ops/dead-letters")
        assert letters["deadLetters"] == []
        sums = view["invariants"]["totals"]
        captured = {row["currency"]: row["captured"]["amount"] for row in sums}
        refunded = {row["currency"]: row["refunded"]["amount"] for row in sums}
    ledger = await control(platform, "/ledger")
    truth = {code.upper(): sums for code, sums in ledger["totals"]["by_currency"].items()}
    assert captured == {code: sums["captured"] for code, sums in truth.items()}
    assert refunded == {code: sums["refunded"] for code, sums in truth.items()}
    charges = Counter[str]()
    for intent in ledger["payment_intents"].values():
        charges[intent["metadata"]["orderId"]] += intent["charges"]["succeeded"]
        assert intent["refunded"] + intent["refund_pending"] <= intent["captured"]
    assert max(charges.values()) == 1, "an order is charged once, through whichever intent"
    await asyncio.to_thread(platform.run_cli, "audit", "rebuild")  # raises where anything differs
    records = await asyncio.to_thread(read_topics, platform)
    kafka_invariants.check(records)
    return records


def rehearse(platform: Platform, *options: str) -> tuple[int, dict[str, Any]]:
    """The status of `faust -A app rehearse`, and what it found."""
    done = platform.try_cli("rehearse", "--json", *options)
    assert done.stdout.startswith("{"), done.stderr
    return done.returncode, json.loads(done.stdout)


async def check_rehearsals(platform: Platform, orders: int) -> None:
    """The same build decides everything as it was; a setting changes things."""
    status, found = await asyncio.to_thread(rehearse, platform)
    assert (status, found["differences"], found["untold"]) == (0, [], []), found
    assert found["orders"] >= orders
    assert found["outputs"] > 10 * orders
    status, changed = await asyncio.to_thread(
        rehearse, platform, "--what-if", "kitchen_deadline_s=0.001"
    )
    assert status == 0
    cancelled = [each for each in changed["differences"] if each["type"] == "ORDER_CANCELLED"]
    assert cancelled, "no kitchen is so fast"
    assert any(sums["after"]["asked"] > 0 for sums in changed["money"].values())


async def test_a_day_with_faults_ends_with_all_money_right(tmp_path: Path) -> None:
    with Platform(tmp_path, settings=SETTINGS) as platform:
        day = await live(platform, orders=40, rate_per_s=2, within_s=2 * MAX_WAIT_S)
        await check(platform, day, 40)
        await check_rehearsals(platform, 40)


async def tell(platform: Platform, day: Simulation, records: list[Record]) -> None:
    """Print what the day was like (pytest -rP shows it)."""
    faults, undelivered = Counter[str](), Counter[str]()
    for fault in await control(platform, "/faults"):
        faults[fault["kind"]] += fault["hits"]
    for delivery in await control(platform, "/webhooks/undelivered"):
        undelivered[delivery["state"]] += 1
    ours = [r for r in records if r.topic in {*kafka_invariants.FAMILIES, kafka_invariants.AUDIT}]
    ids = Counter((r.topic, r.body["eventId"]) for r in ours)
    webhooks = Counter(
        r.body["stripeEventId"] for r in records if r.topic == kafka_invariants.WEBHOOKS
    )
    print("kinds of customers", Counter(told.kind for told in day.simulated))  # noqa: T201 -- as said
    print("refusals", day.failures.most_common(20))  # noqa: T201
    print("Stripe's faults", sum(faults.values()), dict(faults))  # noqa: T201
    print("webhooks never delivered", dict(undelivered))  # noqa: T201
    async with Staff(platform.endpoints.workers[0], "operator", "day") as operator:
        run = (await operator.get("/api/ops/reconciliation"))["run"]
    print("of them and of late ones found by reconciliation", run["missingTotal"])  # noqa: T201
    print("webhooks in Kafka", webhooks.total(), "of events", len(webhooks))  # noqa: T201
    print("events in Kafka", ids.total(), "of which repeated", ids.total() - len(ids))  # noqa: T201


@pytest.mark.soak
@pytest.mark.timeout(3000)
async def test_two_thousand_orders_and_workers_killed(tmp_path: Path) -> None:
    kills, started = 0, time.monotonic()
    with Platform(tmp_path, settings=SETTINGS) as platform:
        task = asyncio.create_task(live(platform, orders=2000, rate_per_s=6, within_s=2400))
        while not task.done():
            await asyncio.wait([task], timeout=30)
            if not task.done():
                await asyncio.to_thread(platform.wait_ready, 600)
                platform.workers[kills % 3].kill()
                kills += 1
                await arm(platform)
        ended = time.monotonic()
        await asyncio.to_thread(platform.wait_ready)
        records = await check(platform, task.result(), 2000)
        print(f"{kills} kills in {ended - started:.0f} s")  # noqa: T201 -- shown with -rP
        await tell(platform, task.result(), records)
    assert kills > 5
