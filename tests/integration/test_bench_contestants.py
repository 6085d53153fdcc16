"""The bench's contestants do the same work: each gives the same events for the same records."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from bench import contestants, kafka_streams, killed_orders, payments_load, workload
from bench.counting import counted
from sandbox.kafka import KafkaBroker
from sandbox.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDS = 3_000
PROGRAMS = {each.command: each for each in reversed(contestants.CONTESTANTS)}
# Kafka Streams is downloaded, 76 MB of it.
TESTED = [
    pytest.param(each, marks=pytest.mark.soak if command is kafka_streams.command else ())
    for command, each in PROGRAMS.items()
    if each is not contestants.PAYMENTS
]


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with KafkaBroker(tmp_path_factory.mktemp("bench") / "kafka") as broker:
        yield broker.bootstrap


@pytest.fixture(scope="module")
def load(bootstrap: str) -> workload.Load:
    return workload.prepare(bootstrap, "input", RECORDS)


@pytest.fixture(scope="module")
def expected(bootstrap: str, load: workload.Load) -> dict[str, tuple[str, int]]:
    """Event's id -> order and number."""
    records: dict[str, tuple[str, int]] = {}
    known: dict[bytes, dict[str, Any]] = {}
    for key, message in workload.events(bootstrap, load.topic):
        found = counted(known.get(key), message)
        if found is not None:
            known[key], event = found
            records[event["eventId"]] = event["orderId"], event["number"]
    assert len(records) == load.outputs < RECORDS
    return records


@pytest.mark.parametrize("contestant", TESTED, ids=lambda each: each.name)
def test_a_contestant_gives_the_workloads_events(
    contestant: contestants.Contestant,
    bootstrap: str,
    load: workload.Load,
    expected: dict[str, tuple[str, int]],
    tmp_path: Path,
) -> None:
    name = f"sink-{contestants.CONTESTANTS.index(contestant)}"
    run = contestants.Run(name, contestant, bootstrap, tmp_path)
    with run.running(load.topic), workload.Outputs(bootstrap, name) as outputs:
        given: dict[str, tuple[str, int]] = {}
        count = 0
        while count < load.outputs:
            for record in outputs.read():
                event = orjson.loads(record.value() or b"")
                given[event["eventId"]] = event["orderId"], event["number"]
                count += 1
    assert given == expected
    contestant.check(bootstrap, name, load.outputs)


def test_the_real_payments_are_paid_on_the_engine(bootstrap: str, tmp_path: Path) -> None:
    payments = contestants.PAYMENTS
    load = payments.prepare(bootstrap, "payments", payments_load.INPUTS)
    run = contestants.Run("payments-sink", payments, bootstrap, tmp_path)
    with run.running(load.topic), workload.Outputs(bootstrap, run.name) as outputs:
        count = 0
        while count < load.outputs:
            count += len(outputs.read())
    payments.check(bootstrap, run.name, load.outputs)


@pytest.mark.soak
def test_the_plain_orders_are_made_and_refunded(tmp_path: Path) -> None:
    with Platform(tmp_path, app=killed_orders.CONTESTANTS["Faust by its book"]) as platform:
        load = killed_orders.Load(platform, rate_per_s=10.0)
        asyncio.run(load.run(seconds=0.3, kills=()))
        ledger, made = asyncio.run(killed_orders.settled(platform, 5.0))
    outcome = killed_orders.Outcome.of(load, ledger, made, 0.0)
    assert (outcome.customers, outcome.paid, outcome.failed) == (3, 3, 0)
    assert (outcome.paid_without_order, outcome.not_refunded) == (0, 0)
    assert sum(visit.is_cancelled for visit in load.visits) == 1
