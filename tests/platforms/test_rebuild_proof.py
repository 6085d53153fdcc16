"""`faust -A app audit rebuild` on the whole platform: equal after real orders; it names what was changed."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from models import topics
from models.rebuild import EVENT_FOLDS
from sandbox.customer import Customer
from sandbox.demo_flows import FLOWS, Flow
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S, free_port, wait_until
from tests.support.kafka_topics import Read, read_all, stored_json
from tests.support.waiting import until

CHANGELOG = "tiffin-payments-changelog"
ORDERS_CHANGELOG = "tiffin-orders-changelog"
LOST_RECORD = b'{"schemaVersion":1,"version":1,"epoch":-1,"state":null,"offsets":{}}'


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("proof"), workers=2) as platform:
        yield platform


def audit(platform: Platform, *options: str) -> tuple[int, str, str]:
    """Status, what it prints, and what it shows meanwhile."""
    done = platform.try_cli("audit", "rebuild", *options)
    return done.returncode, done.stdout, done.stderr


def faults(platform: Platform) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    """Status and differences by service and order."""
    status, text, shown = audit(platform, "--json")
    assert text.startswith("{"), shown
    found = json.loads(text)["differences"]
    return status, {(each["service"], each["order_id"]): each for each in found}


async def play(platform: Platform, flow: Flow, worker: int = 0) -> str:
    """Play a flow; give its order."""
    web = platform.endpoints.workers[worker]
    async with Customer(web, platform.endpoints.stripe) as customer:
        await flow.play(customer)
        return customer.order_id


async def play_all(platform: Platform) -> list[str]:
    return [await play(platform, flow, number % 2) for number, flow in enumerate(FLOWS)]


def forge(platform: Platform, order_id: str) -> None:
    """Say once more, at the end of the topic, how the order was paid, with another amount."""
    record = next(
        record
        for record in read_all(platform.bootstrap, topics.PAYMENT_EVENTS)
        if record.key.decode() == order_id and b'"PAYMENT_COMPLETED"' in record.value
    )
    event = orjson.loads(record.value)
    event["data"]["amount"] += 1
    _append(platform, topics.PAYMENT_EVENTS, record, orjson.dumps(event))


def change_table(platform: Platform, order_id: str) -> None:
    """Put a changed payment at the end of the table's changelog, as a zombie's write would lie there."""
    record = next(
        record
        for record in reversed(read_all(platform.bootstrap, CHANGELOG))
        if record.key.decode() == order_id
    )
    stored = stored_json("payments", record.value)
    stored["state"]["payment"]["captured"] -= 1
    _append(platform, CHANGELOG, record, orjson.dumps(stored))


def lose_order(platform: Platform, order_id: str) -> None:
    """Put an empty record at the end of each changelog, as if the order's had been deleted from it."""
    for service in EVENT_FOLDS:
        changelog = f"tiffin-{service}-changelog"
        record = next(
            record
            for record in reversed(read_all(platform.bootstrap, changelog))
            if record.key.decode() == order_id
        )
        _append(platform, changelog, record, LOST_RECORD)


def restart(platform: Platform, act: Callable[[Platform, str], None], order_id: str) -> None:
    """Do something to the stored tables while no worker runs."""
    for worker in platform.workers:
        worker.terminate()
    act(platform, order_id)
    for worker in platform.workers:
        worker.start()
    platform.wait_ready()


def _append(platform: Platform, topic: str, like: Read, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": platform.bootstrap, "log_level": 0})
    producer.produce(topic, value, key=like.key, partition=like.partition)
    assert producer.flush(60) == 0


def test_rebuild_proof(platform: Platform) -> None:
    """Equal at rest and while orders move; then an event and a table are tampered with, and it tells."""
    paid, retried, refunded = asyncio.run(play_all(platform))
    status, text, shown = audit(platform)
    assert status == 0, text + shown
    assert " differ" in text
    assert "Partition 2" in shown

    async def meanwhile() -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
        orders = asyncio.gather(*(play(platform, flow, 1) for flow in FLOWS))
        found = await asyncio.to_thread(faults, platform)
        await orders
        return found

    assert asyncio.run(meanwhile()) == (0, {})

    forge(platform, retried)
    status, text, _ = audit(platform)
    assert status == 1
    assert retried in text
    assert "two different events have one sequence (5)" in " ".join(text.split())
    assert not any(order_id in text for order_id in (paid, refunded))

    restart(platform, change_table, paid)
    status, found = faults(platform)
    assert (status, {*found}) == (1, {("payments", retried), ("payments", paid)})
    changed = found["payments", paid]
    assert changed["fault"] == "the states differ"
    assert changed["live"]["sequence"] == changed["rebuilt"]["sequence"]
    assert changed["live"]["sha256"] != changed["rebuilt"]["sha256"]
    (detail,) = changed["details"]
    assert detail.startswith("captured: live ")
    repair(platform, paid, retried)


def repair(platform: Platform, paid: str, forged: str) -> None:
    """What differs is repaired, what was lost comes back, and the order goes on; what is forged stays."""
    status, text, _ = audit(platform, "--repair", paid, "--dry-run", "--json")
    plan = json.loads(text)
    assert (status, plan["dryRun"], len(plan["repairs"])) == (0, True, 1)
    assert ("payments", paid) in faults(platform)[1], "a dry run changes nothing"
    status, text, shown = audit(platform, "--repair", paid, "--yes")
    assert status == 0, text + shown
    assert {*faults(platform)[1]} == {("payments", forged)}

    restart(platform, lose_order, paid)
    found = faults(platform)[1]
    assert {service for service, order_id in found if order_id == paid} >= {"orders", "payments"}
    assert found["orders", paid]["fault"] == "no worker has it"
    status, text, shown = audit(platform, "--repair-all", "--yes", "--json")
    assert status == 1, shown
    assert [each["order_id"] for each in json.loads(text)["notRepairable"]] == [forged]
    assert not any(each["failed"] for each in json.loads(text)["repairs"])
    assert {*faults(platform)[1]} == {("payments", forged)}

    platform.run_cli("cancel", paid, "--yes")
    asyncio.run(until(lambda: is_refunded(platform, paid), "the money to go back"))
    assert {*faults(platform)[1]} == {("payments", forged)}, "numbers go on without a hole"
    events = [
        orjson.loads(record.value)
        for record in read_all(platform.bootstrap, topics.PAYMENT_EVENTS)
        if record.key.decode() == paid
    ]
    assert [each["eventType"] for each in events].count("PAYMENT_REFUNDED") == 1
    marked = json.loads(platform.run_cli("audit", "--kind", "STATE_REPAIRED", "--json"))["entries"]
    assert {each["orderId"] for each in marked} == {paid}
    assert {"orders", "payments", "deliveries"} == {each["producer"] for each in marked}


async def is_refunded(platform: Platform, order_id: str) -> bool:
    shown = await asyncio.to_thread(platform.run_cli, "order", order_id, "--json")
    return bool(json.loads(shown)["status"] == "REFUNDED")


def test_a_sweep_that_a_crash_cuts_off_leaves_no_difference(platform: Platform) -> None:
    """Ended orders shrink, workers are killed amid it, and the proof still finds what the events say."""
    ended = [asyncio.run(play(platform, FLOWS[2], number % 2)) for number in range(4)]
    before = faults(platform)
    workers = platform.workers
    argv, env = workers[0].argv, [dict(worker.env or {}) for worker in workers]
    for worker in workers:
        worker.terminate()
        worker.argv = ["tests.support.aged_app" if each == "app" else each for each in argv]
        worker.env = {**(worker.env or {}), "AGED_DAYS": "400"}
    try:
        for worker in workers:
            worker.start()
        wait_until(
            lambda: bool(swept(platform, ended)), "a first order to shrink", timeout_s=MAX_WAIT_S
        )
        for worker in workers:
            worker.kill()
        platform.wait_ready()
        wait_until(
            lambda: swept(platform, ended) == {*ended}, "all orders to shrink", timeout_s=MAX_WAIT_S
        )
        assert faults(platform) == before
    finally:
        for worker, was in zip(workers, env, strict=True):
            worker.terminate()
            worker.argv, worker.env = argv, was
            worker.start()
        platform.wait_ready()


def swept(platform: Platform, orders: list[str]) -> set[str]:
    """Those of these orders that have no contact any more, as the changelog has it."""
    last = {
        record.key.decode(): record for record in read_all(platform.bootstrap, ORDERS_CHANGELOG)
    }
    return {
        order_id
        for order_id in orders
        if not stored_json("orders", last[order_id].value)["state"]["placed"].get("contact")
    }


def test_tables_come_back_from_nothing_but_the_topics_kept_for_ever(platform: Platform) -> None:
    """All changelogs and all disks are lost: workers refuse, `restore` makes the tables anew, orders go on."""
    order_id = asyncio.run(play(platform, FLOWS[0]))
    before = faults(platform)
    status, _, shown = tried_restore(platform, "--yes")
    assert (status, "stop them all first" in shown) == (1, True)
    for worker in platform.workers:
        worker.terminate()
    admin = AdminClient({"bootstrap.servers": platform.bootstrap})
    names = [name for name in admin.list_topics(timeout=30).topics if name.endswith("-changelog")]
    for deleted in admin.delete_topics(names, operation_timeout=30).values():
        deleted.result()
    for number in range(len(platform.workers)):
        shutil.rmtree(platform.data_dir(number))
    wait_until(
        lambda: not [n for n in admin.list_topics(timeout=30).topics if n.endswith("-changelog")],
        "the topics to be gone", timeout_s=MAX_WAIT_S,
    )  # fmt: skip
    status, text, shown = tried_restore(platform, "--dry-run", "--json")
    assert status == 0, shown
    assert len(json.loads(text)["lost"]) == len(names)
    status, text, shown = tried_restore(platform, "--yes", "--json")
    assert status == 0, text + shown
    assert json.loads(text)["restored"]["orders"] >= len(FLOWS)
    for worker in platform.workers:
        worker.start()
    platform.wait_ready()
    assert faults(platform) == before
    platform.run_cli("cancel", order_id, "--yes")
    asyncio.run(until(lambda: is_refunded(platform, order_id), "the money to go back"))
    assert faults(platform) == before, "numbers go on without a hole"
    status, text, _ = tried_restore(platform, "--dry-run", "--json")
    assert status == 1, "workers run"


def tried_restore(platform: Platform, *options: str) -> tuple[int, str, str]:
    done = platform.try_cli("restore", *options)
    return done.returncode, done.stdout, done.stderr


def test_without_a_worker_nothing_is_proved(platform: Platform) -> None:
    status, text, shown = audit(platform, "--url", f"http://127.0.0.1:{free_port()}")
    assert (status, text) == (2, "")
    assert "Nothing is proved: no worker answers" in shown


def test_without_an_operators_token_nothing_is_proved(platform: Platform) -> None:
    status, _, shown = audit(platform, "--token", "nobody")
    assert status == 2
    assert "Nothing is proved: The token is not valid" in shown
