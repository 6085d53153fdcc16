"""Dry run: what inputs would lead to, by the engine's own code on the stored state; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from models.dead_letter import DryRunVerdict
from models.levels import LevelHistory
from models.transition import Outcome, Output, UnreadableError
from tables.consumed_record import ConsumedRecord
from tables.dead_letters import DEAD_LETTER_PREFIX, DeadLetterRecord
from tables.keyed_outputs import without_number
from tables.limits import Counters, Limits
from tables.processor import Processor
from tables.record import load_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.transition import TransitionService

OutputList = list[Output | DeadLetterRecord]

FIRST_DRY_RUN_OFFSET = 2**62
"""Offsets of the inputs of a dry run begin here: behind all that Kafka gives."""


class DryRunInput(NamedTuple):
    """An input to dry_run_inputs; a redriven dead letter has the header REDRIVE_HEADER."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class DryRunResult:
    """What would become of an input. outputs, outcome: of one that would be decided.

    error, message: of one that would be a dead letter; the message may hold parts of the value.
    """

    verdict: DryRunVerdict
    outputs: tuple[Output, ...] = ()
    outcome: Outcome | None = None
    error: str = ""
    message: str = ""


def dry_run_inputs(
    service: TransitionService,
    read_stored: Callable[[bytes], bytes | None],
    inputs: Sequence[DryRunInput],
    *,
    partition: int,
    at_ms: int,
    levels: Callable[[], LevelHistory] = LevelHistory,
) -> list[DryRunResult]:
    """Decide inputs of one key in memory, at Kafka's time `at_ms`; ends with the first dead letter."""
    counters = Counters()
    processor: Processor[OutputList] = Processor(
        service,
        read_stored,
        list,
        epoch=-2,
        limits=Limits(),
        counters=counters,
        dead_letter_topic="dead-letters",  # nothing is sent
        levels=levels,
        # What is stored has left.
        durable_offsets=dict.fromkeys(service.inputs, FIRST_DRY_RUN_OFFSET - 1),
        measures_each_input=True,
    )
    found: list[DryRunResult] = []
    for offset, (topic, key, value, headers) in enumerate(inputs, FIRST_DRY_RUN_OFFSET):
        at = (topic, partition, offset, at_ms, 1)  # the timestamp's type: as Kafka would stamp it
        consumed = ConsumedRecord(*at, key, value, None, len(key), len(value), headers)
        found.append(_process_one(processor, counters, consumed))
        if found[-1].verdict is DryRunVerdict.DEAD:
            break
    return found


def _process_one(
    processor: Processor[OutputList], counters: Counters, consumed: ConsumedRecord
) -> DryRunResult:
    known = _outcomes(processor, consumed.key)
    outputs = processor.commit_batch.outputs
    earlier, decided = len(outputs), counters.decided
    died = counters.unreadable + counters.quarantined
    processor.process(consumed.topic, (consumed,))
    new = outputs[earlier:]
    if counters.unreadable + counters.quarantined > died:
        headers, name = dict(new[-1].headers), f"{DEAD_LETTER_PREFIX}exception-"
        error, message = headers[f"{name}fqcn"].decode(), headers[f"{name}message"].decode()
        return DryRunResult(DryRunVerdict.DEAD, error=error, message=message)
    if counters.decided == decided:
        return DryRunResult(DryRunVerdict.DUPLICATE)
    outcomes = _outcomes(processor, consumed.key).items()
    added = [raw for command_id, raw in outcomes if command_id not in known]
    return DryRunResult(
        DryRunVerdict.DECIDED,
        outputs=tuple(without_number(output) for output in new if isinstance(output, Output)),
        outcome=load_outcome(added[-1]).outcome if added else None,
    )


def _outcomes(processor: Processor[OutputList], key: bytes | None) -> Mapping[str, list[Any]]:
    try:
        return dict(processor.record_of(key).outcomes)
    except UnreadableError:
        return {}
