"""Puts what an operator does with dead letters into Kafka: records anew, releases, markers, audit events."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from app.audit import OPERATORS_SOURCE, operator_event, publish_event
from app.dead_letters.log import MARKER, marker
from app.dead_letters.reader import DeadLetterReader
from app.dead_letters.redrive_rules import original_topic
from app.kafka.headers import record_headers
from models import ids
from models.cloudevents import without_content_type
from models.dead_letter import DeadLetter, DeadLetterState, OriginalRecord, Resolution
from models.errors import OperatorActionRefusedError
from models.events import NO_ORDER, DeadLetterSettled, Event, EventType
from models.sender import Appended, CommandSender, Headers
from models.times import machine_now_ms, to_rfc3339
from models.topics import DEAD_LETTERS, ORDER_AUDIT
from tables import (
    DEAD_LETTER_ID_HEADER,
    REDRIVE_HEADER,
    RELEASE_HEADER,
    InputPosition,
    Quarantine,
    StateTable,
)

DECISION_TIMEOUT_S: Final = 15.0
POLL_INTERVAL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class RedrivePublisher:
    """An operator's acts, as records. positions: of this worker's runtime.

    Methods raise KafkaUnavailableError; those that wait for a service raise OperatorActionRefusedError
    past the bound, and NotOwnerError or NotReadyError when the partition has left this worker.
    """

    letters: DeadLetterReader
    sender: CommandSender
    positions: Callable[[], Sequence[InputPosition]]

    async def redrive(
        self, table: StateTable, letter: DeadLetter, original: OriginalRecord
    ) -> bool:
        """Put a dead letter where it came from; once it is decided, say whether it was accepted."""
        headers = [
            *original.headers,
            (REDRIVE_HEADER, letter.service.encode()),
            (DEAD_LETTER_ID_HEADER, letter.name.encode()),
        ]
        failures, topic = len(letter.origins), original_topic(letter)
        put = await self.sender.put(topic, letter.key, original.value, headers)
        await self._decided(table, letter, topic, put)
        await self.letters.caught_up()
        return len(letter.origins) <= failures

    async def release(self, table: StateTable, letter: DeadLetter, quarantine: Quarantine) -> None:
        """Lift the quarantine of the letter's order; returns once the service has heard of it."""
        topic = _release_topic(table.service.inputs)
        headers = [
            *without_content_type(
                _headers(f"{letter.name}/{quarantine.stamp}", "QUARANTINE_RELEASED")
            ),
            (REDRIVE_HEADER, letter.service.encode()),
            (RELEASE_HEADER, quarantine.stamp.encode()),
        ]
        put = await self.sender.put(topic, letter.key, None, headers)
        await self._decided(table, letter, topic, put)

    async def wait_until_listed(self, letter: DeadLetter, quarantine: Quarantine) -> None:
        """Wait until all that a quarantine has turned away is known: state is ahead of its outputs."""
        place = (letter.service, letter.key or b"", quarantine.since_ms)
        await _until(
            lambda: self.letters.highest(*place) >= quarantine.dead_lettered,
            look_again=self.letters.caught_up,
        )

    async def publish_marker(
        self, letter: DeadLetter, state: DeadLetterState, by: str, reason: str
    ) -> None:
        """Say in the dead letters' topic what became of one, and hear it ourselves."""
        settled = Resolution(by, reason, machine_now_ms())
        value = marker(letter, state, settled)
        headers = _headers(f"{letter.name}/{settled.at_ms}", f"DEAD_LETTER_{state}")
        headers.append((MARKER, state.encode()))
        await self.sender.put(DEAD_LETTERS, letter.key, value, headers)
        await self.letters.caught_up()

    async def publish_audit(
        self, letter: DeadLetter, state: DeadLetterState, by: str, reason: str
    ) -> None:
        """Tell the order's audit what an operator did with a dead letter."""
        await publish_event(self.sender, audit_event(letter, state, by, reason, machine_now_ms()))

    async def _decided(
        self, table: StateTable, letter: DeadLetter, topic: str, put: Appended
    ) -> None:
        """Wait until the service has decided a record, and what came of it is in Kafka."""
        place = (letter.service, topic, put.partition)

        def is_decided() -> bool:
            table.get(letter.order_key or "")  # raises when the partition has left this worker
            return any(
                (at.service, at.topic, at.partition) == place and at.durable_offset >= put.offset
                for at in self.positions()
            )

        await _until(is_decided)


def audit_event(
    letter: DeadLetter, state: DeadLetterState, by: str, reason: str, at_ms: int
) -> Event:
    """The audit's record of an act; its id is made of the dead letter, its life and the act."""
    key = letter.order_key
    order_id = key if key is not None and ids.is_order_id(key) else NO_ORDER
    act = f"{letter.name}/{len(letter.origins)}/{state}"
    topic, partition, offset = letter.origin
    data = DeadLetterSettled(
        dead_letter_id=letter.name, service=letter.service, topic=topic, partition=partition,
        offset=offset, error=letter.error, reason=reason, by=by,
    )  # fmt: skip
    event_type = EventType[f"DEAD_LETTER_{state}"]
    return operator_event(event_type, act, letter.name, data, at_ms, order_id)


def _release_topic(inputs: Iterable[str]) -> str:
    """Where a release is the least in anybody's way: it has no value, and events are read by many."""
    return min(inputs, key=lambda topic: (not topic.endswith("-commands"), topic != ORDER_AUDIT))


def _headers(name: str, kind: str) -> Headers:
    """Of a record that no event stands for."""
    now = to_rfc3339(machine_now_ms())
    return record_headers(ids.derive_id("act", name), kind, OPERATORS_SOURCE, now)


async def _until(
    check: Callable[[], bool], *, look_again: Callable[[], Awaitable[None]] | None = None
) -> None:
    try:
        async with asyncio.timeout(DECISION_TIMEOUT_S):
            while not check():
                await asyncio.sleep(POLL_INTERVAL_S)
                if look_again:
                    await look_again()
    except TimeoutError:
        raise OperatorActionRefusedError(
            "REDRIVE_LATE", "It is in Kafka, but not decided yet. Look again in a moment."
        ) from None
