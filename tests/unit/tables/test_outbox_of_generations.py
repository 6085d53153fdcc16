"""Outboxes of records that an earlier generation of topics wrote, and of those that this one did."""

from __future__ import annotations

import orjson
import pytest

from models.transition import Output
from tables.outbox import dump_entry, has_left

OFFSETS = {"order-commands.g2": 7, "payment-events.g2": -1}


@pytest.mark.parametrize(
    ("topic", "offset", "left"),
    [
        ("order-commands.g2", 7, True),
        ("order-commands.g2", 8, False),
        ("payment-events.g2", 0, False),
        ("order-commands", 8, True),  # of the generation before, which was drained
        ("order-commands", 10**9, True),
        ("payment-events.g3", 0, True),
        ("refunds", 0, False),  # of an input that the service does not read any more
    ],
)
def test_what_has_left(topic: str, offset: int, left: bool) -> None:
    entry = orjson.loads(dump_entry(topic, offset, [Output("order-events", "order_1", b"{}")]))
    assert has_left(entry, OFFSETS) is left
