"""The summary of the lag: a service a row, the one that is furthest behind first."""

from __future__ import annotations

from models.operations import Offsets
from web.ops.lag import Position, ServiceLag, service_lags, topic_lags

OFFSETS = {
    ("order-commands", 0): Offsets(end=10, committed=4),
    ("order-commands", 1): Offsets(end=5, committed=5),
    ("payment-events", 0): Offsets(end=7, committed=7),
}
POSITIONS = {
    0: (
        Position("order-commands", "orders", 4, 3, paused=True),
        Position("payment-events", "orders", 6, 3, paused=True),
        Position("payment-events", "analytics", 7, 0, paused=False),
    ),
    1: (Position("order-commands", "orders", 5, 0, paused=False),),
}


def test_a_service_is_one_row() -> None:
    found = service_lags(topic_lags(OFFSETS, POSITIONS))
    assert found == (
        ServiceLag(
            service="orders", lag=7, partitions=3, behind=2, paused=True,
            furthest="order-commands/0",
        ),
        ServiceLag(service="analytics", lag=0, partitions=1, behind=0, paused=False),
    )  # fmt: skip


def test_where_no_partition_answers_there_is_no_service() -> None:
    assert service_lags(topic_lags(OFFSETS, {})) == ()
