"""What one delivered order leaves behind in all tables, counted: a recorded order, decided by today's code."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from models.times import DAY_MS
from tables.record import DUE
from tables.retention import due_of
from tests.compatibility import stored
from tests.compatibility.adapter import SERVICES, Replay
from tests.compatibility.stored import Recording, Stored

LAST_MS = 1795703279120
"""When its last message was sent, in milliseconds since the epoch."""
NAME = "delivered, then refunded in parts"
TOLD = ("PAYMENT_COMPLETED", "ORDER_CONFIRMED", "ORDER_OUT_FOR_DELIVERY", "ORDER_DELIVERED")
"""Events that its customer is told of, by mail and SMS."""


@dataclass
class Kept:
    """Of one service. tables: key -> value. changelog_bytes: of all written on the way. task: its last."""

    tables: dict[bytes, bytes] = field(default_factory=dict)
    changelog_rows: int = 0
    changelog_bytes: int = 0
    task: Replay | None = None

    def note(self, writes: Sequence[tuple[bytes, bytes]]) -> None:
        self.changelog_rows += len(writes)
        self.changelog_bytes += sum(len(key) + len(value) for key, value in writes)

    def size_bytes(self) -> int:
        return sum(len(key) + len(value) for key, value in self.tables.items())

    def count_by_kind(self) -> Counter[str]:
        kinds = (b"search row" if k.startswith(b"find/") else b"row" if b"/" in k else b"record"
                 for k in self.tables)  # fmt: skip
        return Counter(kind.decode() for kind in kinds)


@functools.cache
def delivered_order() -> tuple[str, dict[str, Kept]]:
    """The order's id, and what each service keeps of it once it is delivered and its messages are sent."""
    recording = stored.load(stored.names()[-1])
    order_id = recording.orders[NAME]
    inputs = inputs_of(recording, order_id.encode())
    found = {}
    for service in SERVICES:
        kept = found[service] = Kept()
        task: Replay | None = None
        for group in recording.groups:
            places = [(*place, group.partition) for place in group.inputs]
            mine = [inputs[place] for place in places if place in inputs]
            if group.service != service or not mine:
                continue
            if task is None:
                run = recording.runs[group.run]
                task = Replay(service, run, kept.tables, epoch=group.epoch, done={})
            kept.note(task.sent(mine)[0])
        assert task is not None
        kept.note(task.pack_ended())
        kept.task = task
    return order_id, found


def swept_order(days: float) -> tuple[str, dict[str, Kept]]:
    """The same some days after its last event, swept each hour or so on the way."""
    order_id, found = delivered_order.__wrapped__()
    key = order_id.encode()
    for kept in found.values():
        assert kept.task is not None
        while (due := due_of(kept.tables[key])) is not None:
            due_ms = int(due.removeprefix(DUE), 16)
            if due_ms > LAST_MS + days * DAY_MS:
                break
            kept.note(kept.task.retain(key, due_ms))
    return order_id, found


def inputs_of(recording: Recording, key: bytes) -> dict[tuple[str, int, int], Stored]:
    """The order's, by topic, offset and partition, without those of its refunds."""
    mine = [r for topic in recording.inputs for r in recording.topics[topic] if r.key == key]
    data = {r: orjson.loads(r.value or b"").get("data") or {} for r in mine}
    refunds_ms = min(r.timestamp_ms for r in mine if b"REFUND_PAYMENT" in (r.value or b""))
    messages = {each["notificationId"] for each in data.values() if each.get("about") in TOLD}
    return {
        (r.topic, r.offset, r.partition): r
        for r in mine
        if r.timestamp_ms < refunds_ms or data[r].get("notificationId") in messages
    }
