"""A quarantined key: redriven in order while new inputs come, it loses none and doubles none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dead_letter import DryRunVerdict
from models.transition import Input, Outcome, Output, UnreadableError
from tables import (
    DEAD_LETTER_ID_HEADER,
    QUARANTINE_HEADER,
    REDRIVE_HEADER,
    RELEASE_HEADER,
    Counters,
    DryRunInput,
    Limits,
)
from tables.dead_letters import DeadLetterRecord
from tables.dry_run import dry_run_inputs
from tables.processor import Processor
from tables.record import Record
from tests.support.engine_services import AddingService, Consumed

KEY = b"order"
DLQ = "dlq"
TOPIC = "commands"


@dataclass
class PartitionTask:
    """A processor over a store in memory; `dead` is the dead-letter topic, `log` the input topic."""

    service: AddingService = field(default_factory=AddingService)
    stored: dict[bytes, bytes] = field(default_factory=dict)
    log: list[Consumed] = field(default_factory=list)
    dead: list[dict[str, bytes]] = field(default_factory=list)
    epoch: int = 0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.epoch += 1
        self.processor: Processor[list[Output | DeadLetterRecord]] = Processor(
            self.service, self.stored.get, list, epoch=self.epoch, limits=Limits(),
            counters=Counters(), dead_letter_topic=DLQ,
        )  # fmt: skip

    def put(self, value: bytes | None, *headers: tuple[str, bytes]) -> None:
        """Kafka takes it, and the task at once."""
        consumed = Consumed(KEY, value, len(self.log), len(self.log), headers=headers, topic=TOPIC)
        self.log.append(consumed)
        assert self.processor.process(TOPIC, [consumed]) == 1
        commit_batch, records = self.processor.close_commit_batch()
        self.stored.update(records)
        self.processor.trim_cache()
        self.processor.advance()
        for output in commit_batch.outputs:
            assert not isinstance(output, DeadLetterRecord)
            if output.topic == DLQ:
                letter = {**dict(output.headers), "value": output.value}
                if letter not in self.dead:  # else sent again after a restart
                    self.dead.append(letter)

    @property
    def record(self) -> Record:
        return Record(KEY.decode(), self.stored.get(KEY), self.service)

    def message(self, number: int, *, poison: bool = False) -> bytes:
        return orjson.dumps({"n": number, "poison": poison})


def redriven(name: bytes = b"first") -> tuple[tuple[str, bytes], ...]:
    return (REDRIVE_HEADER, b"adding"), (DEAD_LETTER_ID_HEADER, name)


class Tool:
    """An operator's tool, and whoever sends new inputs; steps by name."""

    def __init__(self, poison: set[int]) -> None:
        self.task, self.poison, self.sent, self.settled = PartitionTask(), poison, 0, 0

    def new(self) -> None:
        self.sent += 1
        self.task.put(self.task.message(self.sent, poison=self.sent in self.poison))

    def redrive(self) -> None:
        """The first one that is open, rehearsed before."""
        task = self.task
        if self.settled == len(task.dead):
            return
        value = task.dead[self.settled]["value"]
        played = DryRunInput(TOPIC, KEY, value, redriven())
        (result,) = dry_run_inputs(task.service, task.stored.get, [played], partition=0, at_ms=0)
        is_fit = not task.service.is_broken or not orjson.loads(value)["poison"]
        assert result.verdict is (DryRunVerdict.DECIDED if is_fit else DryRunVerdict.DEAD)
        if is_fit:
            task.put(value, *redriven())
            self.settled += 1

    def again(self) -> None:
        """One that has been redriven."""
        if self.settled:
            self.task.put(self.task.dead[self.settled - 1]["value"], *redriven())

    def release(self) -> None:
        if self.settled == len(self.task.dead) and self.settled:
            self._release(self.settled - 1)

    def late_release(self) -> None:
        """One meant for a time when less had been turned away."""
        if 0 < self.settled < len(self.task.dead):
            was_quarantined = self.task.record.quarantine is not None
            self._release(self.settled - 1)
            assert (self.task.record.quarantine is not None) is was_quarantined

    def _release(self, last: int) -> None:
        stamp = self.task.dead[last][QUARANTINE_HEADER]
        self.task.put(None, (REDRIVE_HEADER, b"adding"), (RELEASE_HEADER, stamp))

    def restart(self) -> None:
        self.task.restart()

    def mend(self) -> None:
        self.task.service.is_broken = False


STEPS = ["new", "redrive", "again", "release", "late_release", "restart", "mend"]


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(st.sampled_from(STEPS), max_size=25),
    poison=st.sets(st.integers(1, 30), max_size=3),
)
def test_every_input_is_applied_once_and_in_order(steps: list[str], poison: set[int]) -> None:
    tool = Tool(poison)
    for step in steps:
        getattr(tool, step)()
    tool.mend()
    while tool.settled < len(tool.task.dead):
        tool.redrive()
    tool.release()
    tool.new()
    assert tool.task.record.state == list(range(1, tool.sent + 1))
    assert tool.task.record.quarantine is None
    assert tool.settled == len(tool.task.dead)


def test_redriven_in_vain_keeps_its_name_and_its_quarantine() -> None:
    task = PartitionTask()
    task.put(task.message(1, poison=True))
    task.put(task.message(2))
    since = task.record.quarantine.since_ms
    task.put(task.dead[0]["value"], *redriven(b"its-name"))
    again = task.dead[2]
    assert again[DEAD_LETTER_ID_HEADER] == b"its-name"
    assert again["kafka_dlt-original-offset"] == b"2"
    assert REDRIVE_HEADER not in again
    assert (task.record.quarantine.since_ms, task.record.quarantine.dead_lettered) == (since, 3)
    assert [letter[QUARANTINE_HEADER] for letter in task.dead] == [
        b"%d:%d" % (since, number) for number in (1, 2, 3)
    ]


def test_quarantined_record_is_not_terminal_for_an_index() -> None:
    task = PartitionTask()
    task.put(task.message(1))
    assert task.stored[KEY].startswith(b'{"terminal":true')
    task.put(task.message(2, poison=True))
    assert not task.stored[KEY].startswith(b'{"terminal":true')


def test_rehearsal_tells_each_input_upon_the_one_before_and_changes_nothing() -> None:
    task = PartitionTask()
    task.put(task.message(1))
    task.put(task.message(2, poison=True))
    before = dict(task.stored)
    values = [task.message(1), task.message(3), task.message(2), task.message(4, poison=True), b"{"]
    inputs = [DryRunInput(TOPIC, KEY, value, redriven()) for value in values]
    told = dry_run_inputs(task.service, task.stored.get, inputs, partition=0, at_ms=5)
    assert [each.verdict for each in told] == [
        DryRunVerdict.DUPLICATE, DryRunVerdict.DECIDED, DryRunVerdict.DUPLICATE, DryRunVerdict.DEAD,
    ]  # fmt: skip
    assert [output.value for output in told[1].outputs] == [b"3"]
    assert told[1].outcome == Outcome(accepted=True)
    assert (told[3].error, told[3].message) == ("builtins.ValueError", "poisoned")
    unreadable = dry_run_inputs(task.service, task.stored.get, inputs[4:], partition=0, at_ms=5)
    assert unreadable[0].verdict is DryRunVerdict.DEAD
    assert unreadable[0].message == "orjson.JSONDecodeError"
    assert task.stored == before


class RefusingService(AddingService):
    """Takes numbers in their order alone: another one's record is none of the key's."""

    def decide(self, state: Any, record: Input, read: Any) -> Any:
        if record.message["n"] != len(state) + 1:
            raise UnreadableError("n: not the next")
        return super().decide(state, record, read)


def test_what_decide_calls_unreadable_is_a_dead_letter_and_the_key_goes_on() -> None:
    processor: Processor[list[Any]] = Processor(
        RefusingService(), {}.get, list, epoch=1, limits=Limits(), counters=Counters(),
        dead_letter_topic="dlq",
    )  # fmt: skip
    told = [
        Consumed(b"order", orjson.dumps({"n": number}), offset, topic="commands")
        for offset, number in enumerate([7, 1, 2])
    ]
    assert processor.process("commands", told) == 3
    record = processor.record_of(b"order")
    assert (record.state, record.quarantine) == ([1, 2], None)
    letter, *events = processor.commit_batch.outputs
    assert dict(letter.headers)["kafka_dlt-exception-message"] == b"n: not the next"
    assert [event.topic for event in events] == ["events", "events"]
