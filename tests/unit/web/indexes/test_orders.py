"""Indexes show of each partition what its table holds, however its records changed and moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from agents.orders import orders_service
from models.delivery import Delivery, DeliveryRecord
from models.graphs import DeliveryStatus, OrderStatus
from models.order import Order, OrderRecord, OrderWork
from tables import Quarantine, StoredRecord
from tests.support.in_memory_backend import InMemoryTable
from web.indexes.orders import DeliveryIndex, OrderIndex

KEYS = [f"order-{n}" for n in range(6)]
STATES = st.tuples(st.sampled_from(KEYS), st.sampled_from(list(OrderStatus)), st.integers(0, 99))


def stored(key: str, state: Any) -> StoredRecord:
    return StoredRecord(key=key, version=1, state=state, sequences={}, outcomes={}, quarantine=None)


def order(key: str, status: OrderStatus, at_ms: int = 0) -> OrderRecord:
    state = Order(
        order_id=key, payment_id="p", user_id="u", restaurant_id="r/1", amount=1, currency="INR",
        status=status, sequence=1, occurred_at=at_ms, reached={status: at_ms},
    )  # fmt: skip
    return OrderRecord(order=state, work=OrderWork(sequence=1))


@given(
    changes=st.lists(STATES, max_size=40),
    until_ms=st.none() | st.integers(0, 99),
    moves=st.booleans(),
)
@example(changes=[("order-0", OrderStatus.DELIVERED, 0)], until_ms=0, moves=False)
def test_lists_each_order_once_under_its_last_status(
    changes: list[tuple[str, OrderStatus, int]], until_ms: int | None, moves: bool
) -> None:
    table = InMemoryTable(orders_service(), "orders")
    index, truth = OrderIndex(table), {}
    for key, status, at_ms in changes:
        index.updated(0, key, table.put(key, order(key, status, at_ms)))
        truth[key] = (status, at_ms)
    if moves:  # to a worker that is given what has not ended
        index = OrderIndex(table)
        for key, record in table.records.items():
            if not record.state.has_ended:
                index.updated(0, key, record)
    for status in OrderStatus:
        current = {entry.order_id for entry in index.current(0) if entry.status == status}
        ended = list(index.ended(0, status, until_ms))
        assert not current & {each.order_id for each in ended}
        assert all(
            each == (each.order_id, status, "r/1", truth[each.order_id][1]) for each in ended
        )
        times = [each.since_ms for each in ended]
        assert times == sorted(times, reverse=True)
        of_status = {key for key, (last, _) in truth.items() if last is status}
        before = {key for key in of_status if until_ms is None or truth[key][1] < until_ms}
        assert {each.order_id for each in ended} == before - current
        assert index.number(0, status) == len(of_status)
        for each in ended:
            entry = index.entry_of(each)
            assert entry
            assert (entry.order_id, entry.status, entry.since_ms) == (
                each.order_id,
                status,
                each.since_ms,
            )
    index.closed(0)
    assert not index.current(0)


def test_a_quarantined_order_is_listed_as_one_that_has_not_ended() -> None:
    table = InMemoryTable(orders_service(), "orders")
    index = OrderIndex(table)
    table.put("a", order("a", OrderStatus.DELIVERED))
    quarantined = replace(table.records["a"], quarantine=Quarantine("ValueError", 0, "x", 1))
    table.records["a"] = quarantined
    index.updated(0, "a", quarantined)
    assert [entry.order_id for entry in index.current(0)] == ["a"]
    assert list(index.ended(0, "DELIVERED", None)) == []


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
