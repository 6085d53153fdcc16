"""`faust -A app audit rebuild --repair`: states that differ are made anew by their owners, from the events."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from app.cli.errors import CommandError, ExitStatus
from app.cli.http import new_key
from app.cli.rebuild import FOLDED_TOPICS, EventReader
from models import topics
from models.events import read_event_of
from models.rebuild import Fault
from models.repair import MAX_REPAIR_EVENTS
from models.transition import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.progress import Progress

    from app.cli.http import WorkerClient
    from app.kafka.records import FetchedRecord
    from app.settings import Settings
    from models.events import Event
    from models.rebuild import StateDifference

MAX_REPAIRED: Final = 10_000
"""States of one run: their events' places are kept in memory."""
REPAIR_TOPICS: Final = FOLDED_TOPICS | {topics.ORDER_AUDIT}
REPAIRABLE: Final = frozenset({Fault.CONTENT, Fault.NOT_LIVE, Fault.AHEAD})
"""The events are whole, and say at least as much as the live state."""
WHY_NOT: Final = {
    Fault.NO_EVENTS: "there are no events to make it from",
    Fault.BEHIND: "the live state knows more than the events that are left",
    Fault.SEQUENCE_GAP: "events in between are gone",
    Fault.CONFLICT: "nobody can tell which of two events is right",
    Fault.UNFOLDABLE: "an event does not follow from those before it",
}
NOT_RESTORED: Final = {
    "orders": "contact, address, cart, outcomes of requests",
    "payments": "work under way (Stripe is asked), outcomes of requests",
    "deliveries": "outcomes of requests",
}
"""What no event tells: it is gone where there was no state at all."""


class Place(NamedTuple):
    """Where an event lies in the order's partition."""

    topic: str
    offset: int


class EventPlaces:
    """Where the events lie of the states that are to be repaired. wanted: service and order."""

    def __init__(self, wanted: Iterable[tuple[str, str]]) -> None:
        self._events: dict[tuple[str, str], dict[int, Place]] = {key: {} for key in wanted}
        self._orders: dict[str, dict[int, Place]] = {}
        self._audited: dict[tuple[str, str], Place] = {}
        self._order_ids = {order for _, order in self._events}
        self._delivered = {order for service, order in self._events if service == "deliveries"}

    def add(self, topic: str, offset: int, event: Event) -> None:
        """Note an event's place; one that was emitted again lies there once."""
        key, place = (event.producer, event.order_id), Place(topic, offset)
        if topic == topics.ORDER_AUDIT:
            if key in self._events:
                self._audited[key] = place
            return
        if key in self._events:
            self._events[key].setdefault(event.sequence, place)
        if topic == topics.ORDER_EVENTS and event.order_id in self._delivered:
            self._orders.setdefault(event.order_id, {}).setdefault(event.sequence, place)

    def take(self, record: FetchedRecord) -> None:
        """Note a record that is an event of one of these states."""
        order_id = (record.key or b"").decode(errors="replace")
        if record.error is not None or order_id not in self._order_ids:
            return
        with suppress(UnreadableError):  # the proof has told of it
            event = read_event_of(record.topic, record.key or b"", record.value or b"")
            self.add(record.topic, record.offset, event)

    def of(self, service: str, order_id: str) -> list[Place]:
        """All that the owner needs, in the events' order."""
        key = (service, order_id)
        found = [place for _, place in sorted(self._events[key].items())]
        if service == "deliveries":
            found += [place for _, place in sorted(self._orders.get(order_id, {}).items())]
        audited = self._audited.get(key)
        return [*found, audited] if audited else found


def wanted_repairs(
    differences: Iterable[StateDifference], orders: frozenset[str] | None
) -> tuple[list[StateDifference], list[StateDifference]]:
    """Those that can be repaired, and those that can't; of these orders, None: of all."""
    asked = [each for each in differences if orders is None or each.order_id in orders]
    can = [each for each in asked if each.fault in REPAIRABLE][:MAX_REPAIRED]
    return can, [each for each in asked if each.fault not in REPAIRABLE]


async def find_places(
    settings: Settings,
    wanted: Iterable[StateDifference],
    partitions: Mapping[str, int],
    progress: Progress,
) -> dict[tuple[str, str], list[Place]]:
    """Read the partitions of these states once more; gives where their events lie. Raises AuditError."""
    by_partition: dict[int, list[tuple[str, str]]] = {}
    for each in wanted:
        key = (each.service, each.order_id)
        by_partition.setdefault(partitions[each.order_id], []).append(key)
    found = {}
    reader = EventReader(settings, REPAIR_TOPICS)
    try:
        for partition, keys in sorted(by_partition.items()):
            places = EventPlaces(keys)
            await asyncio.to_thread(reader.open, partition)
            ends = await asyncio.to_thread(reader.ends)
            total = reader.left(ends)
            task = progress.add_task(f"Events of partition {partition}", total=total)
            while left := reader.left(ends):
                for record in await asyncio.to_thread(reader.read):
                    places.take(record)
                progress.update(task, completed=total - left)
            progress.update(task, completed=total)
            found.update({key: places.of(*key) for key in keys})
    finally:
        await asyncio.to_thread(reader.close)
    return found


async def repair(worker: WorkerClient, difference: StateDifference, events: list[Place]) -> str:
    """Have the owner make a state anew; "" once it is as rebuilt, else why it is not.

    Raises CommandError where the next state would fare no better.
    """
    if len(events) > MAX_REPAIR_EVENTS:
        return f"it has more than {MAX_REPAIR_EVENTS} events"
    body = {
        "service": difference.service,
        "liveSequence": difference.live.sequence if difference.live else 0,
        "events": [place._asdict() for place in events],
    }
    path = f"/api/ops/repairs/{quote(difference.order_id, safe='')}"
    try:
        answer: dict[str, Any] = await worker.post(path, body, new_key())
    except CommandError as error:
        if error.status in {ExitStatus.NO_ACCESS, ExitStatus.UNAVAILABLE}:
            raise
        return error.message
    assert difference.rebuilt is not None
    is_same = answer["sha256"] == difference.rebuilt.sha256
    is_later = answer["sequence"] > difference.rebuilt.sequence
    return "" if is_same or is_later else "it still differs"


def planned(difference: StateDifference) -> tuple[str, str, str, str]:
    """A row of the plan: order, part, what is done, what does not come back."""
    made = difference.rebuilt.sequence if difference.rebuilt else 0
    if difference.live is None:
        done, gone = f"made anew up to event {made}", NOT_RESTORED[difference.service]
    else:
        done, gone = f"event {difference.live.sequence} to {made}, {difference.fault}", "nothing"
    return difference.order_id, difference.service, done, gone
