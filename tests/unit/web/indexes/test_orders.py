"""Indexes show of each partition what its table holds, however its records changed and moved."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.delivery import Delivery, DeliveryRecord
from models.graphs import DeliveryStatus, OrderStatus
from models.order import Order, OrderRecord, OrderWork
from tables import NotOwnerError, StoredRecord
from web.indexes import entries
from web.indexes.orders import DeliveryIndex, OrderIndex

KEYS = [f"order-{n}" for n in range(6)]
STATES = st.tuples(st.sampled_from(KEYS), st.sampled_from(list(OrderStatus)), st.integers(0, 99))


def stored(key: str, state: Any) -> StoredRecord:
    return StoredRecord(key=key, version=1, state=state, sequences={}, outcomes={}, quarantine=None)


def order(key: str, status: OrderStatus, at_ms: int = 0) -> StoredRecord:
    state = Order(
        order_id=key, payment_id="p", user_id="u", restaurant_id="r", amount=1, currency="INR",
        status=status, sequence=1, occurred_at=at_ms, reached={status: at_ms},
    )  # fmt: skip
    return stored(key, OrderRecord(order=state, work=OrderWork(sequence=1)))


class Table:
    """Partition 0 of an orders table, as the index scans it."""

    name = "orders"

    def __init__(self) -> None:
        self.records: dict[str, StoredRecord] = {}
        self.is_ours = True
        self.scans = 0
        self.scanned = asyncio.Event()

    def scan(self, partition: int, after: str = "") -> list[StoredRecord]:
        assert partition == 0
        if not self.is_ours:
            raise NotOwnerError(self.name)
        self.scans += 1
        self.scanned.set()
        keys = sorted(key for key in self.records if key > after)[:2]
        return [self.records[key] for key in keys]


@pytest.fixture
def table() -> Table:
    return Table()


def of_status(index: OrderIndex, status: str) -> set[str]:
    current = {e.order_id for e in index.current(0) if e.status == status}
    return current | {e.order_id for e in index.ended(0, status)}


@given(st.lists(STATES, max_size=40))
def test_lists_each_order_once_under_its_last_status(
    changes: list[tuple[str, OrderStatus, int]],
) -> None:
    index, truth = OrderIndex(Table()), {}
    for key, status, at_ms in changes:
        index.updated(0, key, order(key, status, at_ms))
        truth[key] = status
    for status in OrderStatus:
        assert of_status(index, status) == {k for k, s in truth.items() if s is status}
    everything = [*index.current(0), *index.ended(0, None)]
    assert len(everything) == len(truth)
    index.closed(0)
    assert not [*index.current(0), *index.ended(0, None)]


def test_keeps_the_latest_of_those_that_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_ENDED_KEPT", 10)
    index = OrderIndex(Table())
    for n in range(100):
        at_ms = n * 37 % 100  # in no order of time
        index.updated(0, f"o{at_ms}", order(f"o{at_ms}", OrderStatus.DELIVERED, at_ms))
        assert len(index.ended(0, "DELIVERED")) <= 20
    kept = {entry.since_ms for entry in index.ended(0, "DELIVERED")}
    assert set(range(90, 100)) <= kept
    assert len(index.ended(0, None)) == len(kept)
    assert index.left_out(0, "DELIVERED")
    assert index.left_out(0, None)
    assert not index.left_out(0, "REFUNDED")
    # One that was left out may move on, and is listed where it is now.
    index.updated(0, "o0", order("o0", OrderStatus.REFUNDED, 200))
    assert [entry.order_id for entry in index.ended(0, "REFUNDED")] == ["o0"]


async def test_reads_those_of_before_once_and_what_is_newer_stays(table: Table) -> None:
    for key in KEYS:
        table.records[key] = order(key, OrderStatus.DELIVERED)
    index = OrderIndex(table)
    await asyncio.gather(index.read_ended(0, 60), index.read_ended(0, 60))
    assert of_status(index, "DELIVERED") == set(KEYS)
    scans = table.scans
    await index.read_ended(0, 60)
    assert table.scans == scans == 4
    index.closed(0)
    assert of_status(index, "DELIVERED") == set()
    await index.read_ended(0, 60)
    assert of_status(index, "DELIVERED") == set(KEYS)


async def test_a_change_while_those_of_before_are_read_is_kept(table: Table) -> None:
    for key in KEYS:
        table.records[key] = order(key, OrderStatus.REFUNDED)
    index = OrderIndex(table)
    reading = asyncio.create_task(index.read_ended(0, 60))
    await table.scanned.wait()
    for key in (KEYS[0], KEYS[-1]):  # of the slice that was read, and of one that was not
        table.records[key] = order(key, OrderStatus.CANCELLED, 5)
        index.updated(0, key, table.records[key])
    await reading
    assert of_status(index, "CANCELLED") == {KEYS[0], KEYS[-1]}
    assert of_status(index, "REFUNDED") == set(KEYS[1:-1])


async def test_says_that_the_partition_has_left_while_it_was_read(table: Table) -> None:
    table.records[KEYS[0]] = order(KEYS[0], OrderStatus.DELIVERED)
    index = OrderIndex(table)
    reading = asyncio.create_task(index.read_ended(0, 60))
    await table.scanned.wait()
    index.closed(0)
    with pytest.raises(NotOwnerError):
        await reading
    table.is_ours = False
    with pytest.raises(NotOwnerError):
        await index.read_ended(0, 60)
    table.is_ours = True
    await index.read_ended(0, 60)
    assert of_status(index, "DELIVERED") == {KEYS[0]}


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(list(DeliveryStatus)))))
def test_lists_the_deliveries_that_have_not_ended(
    changes: list[tuple[str, DeliveryStatus]],
) -> None:
    index, truth = DeliveryIndex(), {}
    for key, status in changes:
        courier = None if status is DeliveryStatus.PENDING else "c1"
        delivery = Delivery(
            order_id=key, status=status, courier_id=courier, sequence=1, occurred_at=0,
            reached={status: 0},
        )  # fmt: skip
        index.updated(0, key, stored(key, DeliveryRecord(delivery=delivery)))
        truth[key] = status
    ended = {DeliveryStatus.DELIVERED, DeliveryStatus.CANCELLED}
    expected = {key for key, status in truth.items() if status not in ended}
    assert {entry.order_id for entry in index.current(0)} == expected
    carried = {key for key in expected if truth[key] is not DeliveryStatus.PENDING}
    assert {entry.order_id for entry in index.of_courier(0, "c1")} == carried
