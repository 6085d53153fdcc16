"""What inputs would lead to, told by the engine's own code on the stored state; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from models.transition import Outcome, Output, UnreadableError
from tables.apply import Applier
from tables.letters import DEAD_LETTER_PREFIX, DeadLetter
from tables.limits import Counters, Limits
from tables.record import load_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.transition import Service

Collected = list[Output | DeadLetter]

BEYOND = 2**62
"""Offsets of rehearsed inputs begin here: behind all that Kafka gives."""
DEAD_LETTERS = "dead-letters"


class Verdict(StrEnum):
    """What becomes of an input. DUPLICATE: dropped, for it or a later one of its sender was applied."""

    DECIDED = "DECIDED"
    DUPLICATE = "DUPLICATE"
    DEAD = "DEAD"


class Played(NamedTuple):
    """An input to rehearse; as a redriven dead letter it bears the header REDRIVE."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would become of an input.

    outputs, outcome: of one that would be decided. error, message: of one that would be dead; the
    message may hold parts of the value.
    """

    verdict: Verdict
    outputs: tuple[Output, ...] = ()
    outcome: Outcome | None = None
    error: str = ""
    message: str = ""


class _Consumed(NamedTuple):
    """As much of aiokafka's ConsumerRecord as is looked at."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    offset: int
    partition: int
    topic: str
    timestamp_type: int = 1  # as Kafka would stamp it


def rehearse(
    service: Service,
    read_stored: Callable[[bytes], bytes | None],
    inputs: Sequence[Played],
    *,
    partition: int,
    at_ms: int,
) -> list[Rehearsal]:
    """Apply inputs of one key, one upon the other, in memory; ends with the first that is dead.

    at_ms: the time that Kafka would give them.
    """
    counters = Counters()
    applier: Applier[Collected] = Applier(
        service,
        read_stored,
        list,
        epoch=-2,
        done=dict.fromkeys(service.inputs, BEYOND - 1),  # what is stored has left
        limits=Limits(),
        counters=counters,
        dead_letter_topic=DEAD_LETTERS,
        is_measured=True,
    )
    found: list[Rehearsal] = []
    for number, given in enumerate(inputs):
        consumed = _Consumed(
            given.key, given.value, given.headers, at_ms, BEYOND + number, partition, given.topic
        )
        found.append(_play(applier, counters, consumed))
        if found[-1].verdict is Verdict.DEAD:
            break
    return found


def _play(applier: Applier[Collected], counters: Counters, consumed: _Consumed) -> Rehearsal:
    known = _outcomes(applier, consumed.key)
    outputs = applier.group.outputs
    earlier, decided = len(outputs), counters.decided
    died = counters.unreadable + counters.quarantined
    applier.apply(consumed.topic, (consumed,))
    new = outputs[earlier:]
    if counters.unreadable + counters.quarantined > died:
        headers = dict(new[-1].headers)
        return Rehearsal(
            Verdict.DEAD,
            error=headers[f"{DEAD_LETTER_PREFIX}exception-fqcn"].decode(),
            message=headers[f"{DEAD_LETTER_PREFIX}exception-message"].decode(),
        )
    if counters.decided == decided:
        return Rehearsal(Verdict.DUPLICATE)
    outcomes = _outcomes(applier, consumed.key)
    added = [raw for command_id, raw in outcomes.items() if command_id not in known]
    return Rehearsal(
        Verdict.DECIDED,
        outputs=tuple(output for output in new if isinstance(output, Output)),
        outcome=load_outcome(added[-1]).outcome if added else None,
    )


def _outcomes(applier: Applier[Collected], key: bytes) -> Mapping[str, list[Any]]:
    try:
        return dict(applier.record(key).outcomes)
    except UnreadableError:
        return {}
