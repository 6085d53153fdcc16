"""Outputs with keys of their own: two partitions send to one, and crash wherever hypothesis says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.times import machine_now_ms
from models.transition import Decision, Input, Output, UnreadableError
from tables import Counters, Limits
from tables.commit_batch import CommitBatch
from tables.dead_letters import REDRIVE_HEADER, DeadLetterRecord
from tables.keyed_outputs import KEYED_KEY, SOURCE_HEADER, KeyedOutput, read_source
from tables.processor import Processor
from tests.support.engine_services import Consumed, EchoService, body

Sent = list[Output | DeadLetterRecord]
TOPICS = ("in-a", "in-b")
TARGETS = "uv"


class ForwardingService(EchoService):
    """Emits under its own key and, for each target that the message names, under that."""

    def decide(self, state: Any, record: Input, read: Callable[[str], bytes | None]) -> Decision:
        decision = super().decide(state, record, read)
        value = orjson.dumps({"id": f"{record.key}-{record.identity.id}"})
        own, *more = decision.outputs
        more = [Output("in-a", target, value) for target in record.message.get("to", "")]
        return decision._replace(outputs=[*more, own])


class Partition:
    """One partition of a service: a log a topic, a store, what left, and a task that can crash at any step.

    suffix: of the topics' names in Kafka.
    """

    def __init__(self, service: EchoService, number: int = 0, suffix: str = "") -> None:
        self.service, self.number, self.suffix = service, number, suffix
        self.topics = tuple(topic + suffix for topic in TOPICS)
        self.log: dict[str, list[Consumed]] = {topic: [] for topic in self.topics}
        self.store: dict[bytes, bytes] = {}
        self.emitted: Sent = []
        self.recorded = dict.fromkeys(self.topics, -1)
        self.counters = Counters()
        self.epoch = 0
        self.crash()

    def crash(self) -> None:
        self.epoch += 1
        self.next = {topic: offset + 1 for topic, offset in self.recorded.items()}
        self.closed: tuple[CommitBatch[Sent], list[tuple[bytes, bytes]]] | None = None
        self.stored: CommitBatch[Sent] | None = None
        self.processor: Processor[Sent] = Processor(
            self.service,
            self.store.get,
            list,
            epoch=self.epoch,
            durable_offsets=self.recorded,
            partition=self.number,
            limits=Limits(ids_per_topic=8, key_inputs=4),
            counters=self.counters,
            dead_letter_topic="dlq",
        )
        self.unsent: Sent = list(self.processor.unsent_keyed_outputs())

    def send(self, topic: str, key: str, value: bytes, *headers: tuple[str, bytes]) -> None:
        topic += self.suffix
        at = len(self.log[topic])
        self.log[topic].append(Consumed(key.encode(), value, at, headers=headers, topic=topic))

    def apply(self, topic: str, count: int = 3) -> None:
        topic += self.suffix
        inputs = self.log[topic][self.next[topic] :][:count]
        self.next[topic] += self.processor.process(topic, inputs)

    def resend(self, count: int | None = None) -> None:
        """What an earlier task may not have sent leaves, or so many of it."""
        sent, self.unsent = self.unsent[:count], self.unsent[len(self.unsent[:count]) :]
        self.emitted += sent

    def close(self) -> None:
        self.resend()
        if not self.processor.commit_batch.is_empty and self.processor.under_way is None:
            self.closed = self.processor.close_commit_batch()

    def save(self, count: int | None = None) -> None:
        """The changelog has the commit batch; or so many of its rows and records, and the task crashes."""
        if self.closed is None:
            return
        batch, records = self.closed
        self.store.update([*batch.rows.items(), *records][:count])
        self.closed = None
        if count is not None:
            self.crash()
            return
        self.stored = batch
        self.processor.trim_cache()

    def settle(self, count: int | None = None) -> None:
        """Outputs leave; or so many of them, and the task crashes."""
        if self.stored is None:
            return
        self.emitted += self.stored.outputs[:count]
        self.stored = None
        if count is not None:
            self.crash()
            return
        self.processor.advance()

    def round(self, count: int | None) -> None:
        """A commit batch of all that has come; so many of its outputs leave before a crash, or all."""
        for topic in reversed(TOPICS):
            self.apply(topic)
        self.close()
        self.save()
        self.settle(count)

    def checkpoint(self) -> None:
        self.resend()
        if self.processor.under_way is None:
            self.recorded = dict(self.processor.durable_offsets)
            self.processor.pack_ended()
            self.closed = self.processor.close_commit_batch()

    def finish(self) -> None:
        for _ in range(10_000):
            durable = self.processor.durable_offsets
            if not self.unsent and all(durable[t] == len(log) - 1 for t, log in self.log.items()):
                return
            for topic in TOPICS:
                self.apply(topic, 50)
            self.close()
            self.save()
            self.settle()
        raise AssertionError("the task stands still")

    def state(self, key: str) -> list[str]:
        found: list[str] = self.processor.record_of(key.encode()).state
        return found


class Forwarding:
    """Two partitions of one service, whose keyed outputs one partition of another reads."""

    def __init__(self) -> None:
        self.sources = [Partition(ForwardingService(), number) for number in range(2)]
        self.target = Partition(EchoService())
        self._delivered = [0, 0]

    def deliver(self) -> None:
        """What the sources sent arrives: of each in its order."""
        for number, source in enumerate(self.sources):
            for output in source.emitted[self._delivered[number] :]:
                if type(output) is KeyedOutput:
                    self.target.send(output.topic, output.key, output.value, *output.headers)
            self._delivered[number] = len(source.emitted)


PARTIAL = st.integers(0, 5)
STEP = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 1), st.sampled_from(["", *TARGETS, "uv", "uu"])),
    st.tuples(st.sampled_from(["apply", "close", "save", "settle", "crash"]), st.integers(0, 2)),
    st.tuples(st.sampled_from(["save", "settle", "resend"]), st.integers(0, 2), PARTIAL),
    st.tuples(st.just("round"), st.integers(0, 2), st.none() | PARTIAL),
    st.tuples(st.just("checkpoint"), st.integers(0, 2)),
    st.tuples(st.just("deliver")),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(STEP, min_size=10, max_size=150), st.randoms(use_true_random=False))
def test_each_is_decided_once_at_its_own_key_whatever_crashes(steps: Any, rnd: Any) -> None:
    world = Forwarding()
    parts = [*world.sources, world.target]
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    for number, (step, *given_) in enumerate(steps):
        match step:
            case "send":
                source, targets = given_
                key = f"{rnd.choice('kl')}{source}"
                parts[source].send(rnd.choice(TOPICS), key, body(f"{number}", to=targets))
                for target in targets:
                    wanted[target].append(f"{key}-{number}")
            case "deliver":
                world.deliver()
            case "apply":
                parts[given_[0]].apply(rnd.choice(TOPICS))
            case _:
                getattr(parts[given_[0]], step)(*given_[1:])
    for source in world.sources:
        source.finish()
    world.deliver()
    world.target.finish()
    for target in TARGETS:
        assert sorted(world.target.state(target)) == sorted(wanted[target])
    for source in world.sources:
        for key in ("k", "l"):
            _check_order(world, source, f"{key}{source.number}")
    record = world.target.processor.record_of(b"u")
    assert len(record.sequences) <= 2, "one watermark a source, however many records came"


def _check_order(world: Forwarding, source: Partition, key: str) -> None:
    """A source key's outputs are decided in the order in which it decided what led to them."""
    decided = [f"{key}-{id_}" for id_ in source.state(key)]
    for target in TARGETS:
        arrived = [id_ for id_ in dict.fromkeys(world.target.state(target)) if id_ in decided]
        assert arrived == sorted(arrived, key=decided.index)


def stored(source: Partition) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(source.store[KEYED_KEY])
    return found


def test_numbers_go_on_after_a_crash_and_leave_first() -> None:
    source = Partition(ForwardingService())
    source.send("in-a", "k", body("1", to="u"))
    source.send("in-a", "l", body("2", to="u"))
    source.send("in-a", "k", body("3", to="u"))
    source.apply("in-a")
    source.close()
    source.save()
    source.crash()  # nothing has left
    source.send("in-b", "m", body("new", to="u"))  # is delivered before what is delivered again
    source.apply("in-b")
    source.finish()
    keyed = [output for output in source.emitted if type(output) is KeyedOutput]
    numbers = [read_source(dict(output.headers)[SOURCE_HEADER].decode()).number for output in keyed]
    assert numbers == list(range(numbers[0], numbers[0] + 4))
    ids = [orjson.loads(output.value)["id"] for output in keyed]
    assert ids == ["k-1", "l-2", "k-3", "m-new"]


def test_a_row_without_its_records_sends_nothing_again() -> None:
    source = Partition(ForwardingService())
    source.send("in-a", "k", body("1", to="u"))
    source.apply("in-a")
    source.close()
    source.save(1)  # the changelog was cut off behind the row
    assert stored(source)["keys"] == ["k"]
    assert source.unsent == []
    source.finish()
    keyed = [output for output in source.emitted if type(output) is KeyedOutput]
    assert len(keyed) == 1


def test_once_all_has_left_the_row_names_no_keys() -> None:
    source = Partition(ForwardingService())
    source.send("in-a", "k", body("1", to="u"))
    source.finish()
    row = stored(source)
    source.processor.pack_ended()
    source.store.update(source.processor.commit_batch.rows)
    assert stored(source) == {**row, "first": row["next"], "keys": []}


def test_a_lost_table_goes_on_above_all_numbers_that_it_gave() -> None:
    numbers = []
    for _ in range(2):
        began_ms = machine_now_ms()
        while machine_now_ms() == began_ms:
            pass
        source = Partition(ForwardingService())
        source.send("in-a", "k", body("1", to="u"))
        source.finish()
        numbers.append(stored(source)["first"])
    assert numbers[0] < numbers[1] < 2**53, "a number that every reader of JSON takes"


def numbered(number: int) -> tuple[str, bytes]:
    return SOURCE_HEADER, b"up/0/%d" % number


def letters(target: Partition) -> list[bytes | None]:
    return [output.value for output in target.emitted if output.topic == "dlq"]


REDRIVEN = (REDRIVE_HEADER, b"echo")


def test_what_could_not_be_read_is_decided_when_it_is_redriven() -> None:
    target = Partition(EchoService())
    target.send("in-a", "u", body("1"), numbered(1))
    for _ in range(2):  # the source sends it again
        target.send("in-a", "u", b"from a later build", numbered(2))
    target.send("in-a", "u", body("3"), numbered(3))
    target.finish()
    assert letters(target) == [b"from a later build"]
    for _ in range(2):
        target.send("in-a", "u", body("2"), numbered(2), REDRIVEN)
    target.send("in-a", "u", body("2"), numbered(2))
    target.finish()
    assert target.state("u") == ["1", "3", "2"]
    assert target.counters.duplicates == 3
    assert not target.processor.record_of(b"u").skipped


def test_a_dead_letter_of_a_numbered_input_leaves_after_a_crash() -> None:
    target = Partition(EchoService())
    target.send("in-a", "u", b"from a later build", numbered(2))
    target.apply("in-a")
    target.close()
    target.save()
    target.crash()
    target.finish()
    assert letters(target) == [b"from a later build"]


def test_dead_letters_of_a_quarantined_key_are_decided_in_order_when_they_are_redriven() -> None:
    target = Partition(EchoService())
    target.send("in-a", "u", body("1", poison=True), numbered(1))
    target.send("in-a", "u", b"from a later build", numbered(2))
    target.send("in-a", "u", body("3"), numbered(3))
    target.finish()
    assert len(letters(target)) == 3
    for number in (1, 2, 3, 1):
        target.send("in-a", "u", body(f"{number}"), numbered(number), REDRIVEN)
    target.finish()
    assert target.state("u") == ["1", "2", "3"]


@pytest.mark.parametrize("header", ["", "up", "/1", "up/0/-1", "up/0/1.5", "up/0/" + "9" * 40])
def test_a_source_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(UnreadableError):
        read_source(header)
