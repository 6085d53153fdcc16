"""The in-memory half of a task against crashes: simulated steps, hypothesis decides where they end."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ids import TOKEN_CHARS
from models.transition import Output
from tables import Counters, Limits
from tables.commit_batch import CommitBatch
from tables.dead_letters import SERVICE_HEADER, DeadLetterRecord
from tables.packing import PACKED
from tables.processor import Processor
from tables.record import Record
from tests.support.engine_services import Consumed, EchoService, body

Sent = list[Output | DeadLetterRecord]
TOPICS = ("in-a", "in-b")
LIMITS = Limits(
    record_bytes=4_000,
    output_bytes=1_000,
    ids_per_topic=8,
    key_inputs=4,
    key_bytes=10_000,
    outcomes=12,
)


class EndingService(EchoService):
    """Each second input ends its key."""

    def has_ended(self, state: Any) -> bool:
        return len(state) % 2 == 0


class ApplierHarness:
    """A partition: two topics, a store, what was emitted, and a task that can crash at any step."""

    def __init__(self, service: EchoService | None = None) -> None:
        self.service = service or EchoService()
        self.log: dict[str, list[Consumed]] = {topic: [] for topic in TOPICS}
        self.store: dict[bytes, bytes] = {}
        self.emitted: Sent = []
        self.recorded = dict.fromkeys(TOPICS, -1)
        self.counters = Counters()
        self.epoch = 0
        self.start_task()

    def start_task(self) -> None:
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
            limits=LIMITS,
            counters=self.counters,
            dead_letter_topic="dlq",
        )

    def send(self, topic: str, key: bytes | None, value: bytes | None, **headers: bytes) -> None:
        at = len(self.log[topic])
        pairs = tuple((name.replace("_", "-"), text) for name, text in headers.items())
        self.log[topic].append(Consumed(key, value, at, headers=pairs, topic=topic))

    def apply(self, topic: str, count: int) -> None:
        inputs = self.log[topic][self.next[topic] :][:count]
        self.next[topic] += self.processor.process(topic, inputs)

    def flush(self) -> None:
        if not self.processor.commit_batch.is_empty and self.processor.under_way is None:
            self.closed = self.processor.close_commit_batch()

    def checkpoint(self) -> None:
        if self.processor.under_way is None:
            self.processor.pack_ended()
            self.flush()

    def save(self) -> None:
        if self.closed:
            self.stored, records = self.closed
            self.closed = None
            self.store.update(self.stored.rows)
            self.store.update(records)
            self.processor.trim_cache()

    def settle(self, part: float = 1.0) -> None:
        """Outputs of a commit batch leave; of a part of it when the task is to crash in the midst."""
        if self.stored:
            commit_batch = self.stored
            self.emitted += commit_batch.outputs[: int(len(commit_batch.outputs) * part)]
            if part == 1.0:
                self.stored = None
                self.processor.advance()
                self.recorded = dict(self.processor.durable_offsets)

    def finish(self) -> None:
        for _ in range(10_000):
            if all(
                self.processor.durable_offsets[topic] == len(self.log[topic]) - 1
                for topic in TOPICS
            ):
                return
            for topic in TOPICS:
                self.apply(topic, 50)
            self.flush()
            self.save()
            self.settle()
        raise AssertionError("the task stands still")

    def record(self, key: str) -> Record:
        return Record(key, self.store[key.encode()], EchoService())

    def first_outputs(self, key: str) -> list[dict[str, Any]]:
        first: dict[bytes, None] = {}
        for output in self.emitted:
            if isinstance(output, Output) and output.topic == "out" and output.key == key:
                first.setdefault(output.value)
        return [orjson.loads(value) for value in first]


STEPS = st.lists(
    st.sampled_from(["send-a", "send-b", "again", "apply-a", "apply-b"])
    | st.sampled_from(["flush", "save", "settle", "settle-half", "crash", "checkpoint"]),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_everything_is_decided_once_and_emitted_in_order_whatever_crashes(
    steps: list[str], rnd: Any
) -> None:
    world = ApplierHarness(EndingService())
    sent: defaultdict[str, set[str]] = defaultdict(set)
    for number, step in enumerate(steps):
        if step.startswith("send"):
            key, topic = rnd.choice("kl"), f"in-{step[-1]}"
            sent[key].add(f"{number}")
            world.send(topic, key.encode(), body(f"{number}", row=number % 2))
        elif step == "again" and (topic := rnd.choice(TOPICS)) and world.log[topic]:
            again = world.log[topic][-1]
            world.send(topic, again.key, again.value)
        elif step.startswith("apply"):
            world.apply(f"in-{step[-1]}", 3)
        elif step == "settle-half":
            world.settle(0.5)
            world.start_task()
        elif step == "crash":
            world.start_task()
        elif step in ("flush", "checkpoint", "save", "settle"):
            getattr(world, step)()
    world.finish()
    for key, ids in sent.items():
        state = world.record(key).state
        assert len(state) == len(set(state))
        assert set(state) == ids
        wanted = [{"n": n, "id": id_} for n, id_ in enumerate(state, 1)]
        assert world.first_outputs(key) == wanted
        assert int(world.store.get(f"{key}/count".encode(), b"0")) == sum(int(i) % 2 for i in ids)
    assert not any(isinstance(output, DeadLetterRecord) for output in world.emitted)
    assert not world.processor.in_flight


def test_sequences_of_an_engine_drop_what_it_emits_again() -> None:
    world = ApplierHarness()
    for sequence in (1, 2, 1, 2, 3):
        world.send("in-a", b"k", body(f"{sequence}", p="up", s=sequence))
    world.send("in-b", b"k", body("other topic", p="up", s=1))
    world.finish()
    assert world.record("k").state == ["1", "2", "3", "other topic"]
    assert world.counters.duplicates == 2


def test_what_an_engine_emits_again_writes_nothing() -> None:
    world = ApplierHarness()
    world.send("in-a", b"k", body("1", p="up", s=1))
    world.finish()
    before = dict(world.store)
    world.send("in-a", b"k", body("1", p="up", s=1))
    world.finish()
    assert world.store == before


def test_a_command_is_dropped_by_its_outcome_when_its_id_has_left_the_window() -> None:
    world = ApplierHarness()
    for number in [*range(10), 0]:
        world.send("in-a", b"k", body(f"{number}"))
    world.finish()
    assert len(world.record("k").state) == 10
    assert len(world.record("k").ids["in-a"]) == 8 * TOKEN_CHARS


def test_a_duplicate_stays_one_when_nothing_remembers_its_id_any_more() -> None:
    world = ApplierHarness()
    for number in [*range(9), 0]:
        world.send("in-a", b"k", body(f"{number}"))
    world.finish()
    assert world.counters.duplicates == 1
    for number in range(12):
        world.send("in-b", b"k", body(f"b{number}"))
    world.finish()
    assert "0" not in world.record("k").outcomes
    world.recorded = {"in-a": 8, "in-b": -1}  # written once a second, so a crash finds it behind
    world.start_task()
    world.finish()
    assert len(world.record("k").state) == 9 + 12
    assert world.counters.redelivered == 1 + 12


def test_outputs_known_durable_are_forgotten_at_the_next_touch() -> None:
    world = ApplierHarness()
    for number in range(3):
        world.send("in-a", b"k", body(f"{number}"))
        world.finish()
        assert len(world.record("k").inherited_outbox) == 1


def test_an_ended_record_is_packed_once_its_outputs_have_left() -> None:
    world = ApplierHarness(EndingService())
    for number in range(4):
        world.send("in-a", b"%d" % (number % 2), body(f"{number}"))
    world.finish()
    assert not any(value.startswith(PACKED) for value in world.store.values())
    assert len(world.record("0").inherited_outbox) == 2
    world.send("in-a", b"1", body("one more, and not ended"))
    world.apply("in-a", 1)
    world.checkpoint()
    world.save()
    world.settle()
    assert world.store[b"0"].startswith(PACKED)
    record = world.record("0")
    assert (record.inherited_outbox, record.state) == ([], ["0", "2"])
    assert not world.store[b"1"].startswith(PACKED)
    before = dict(world.store)
    world.checkpoint()
    assert world.processor.is_settled, "there is nothing left to pack"
    world.start_task()
    world.finish()
    assert world.store == before
    assert world.first_outputs("0") == [{"n": 1, "id": "0"}, {"n": 2, "id": "2"}]


def test_an_ended_record_is_not_packed_while_its_outputs_may_be_lost() -> None:
    world = ApplierHarness(EndingService())
    for number in range(2):
        world.send("in-a", b"k", body(f"{number}"))
    world.apply("in-a", 2)
    world.flush()
    world.save()
    world.start_task()
    world.checkpoint()
    world.finish()
    assert world.first_outputs("k") == [{"n": 1, "id": "0"}, {"n": 2, "id": "1"}]


def test_what_cannot_be_read_becomes_a_dead_letter_with_its_origin() -> None:
    world = ApplierHarness()
    cases: list[tuple[bytes | None, bytes | None]] = [
        (None, b"{}"),
        (b"\xff", b"{}"),
        (b"a/b", b"{}"),
        (b"\0claim", b"{}"),
        (b"k", None),
        (b"k", b"garbage"),
        (b"k", b"{}"),
    ]
    for key, value in cases:
        world.send("in-a", key, value, traceparent=b"00-1")
    world.finish()
    letters = [output for output in world.emitted if isinstance(output, DeadLetterRecord)]
    assert [(letter.key, letter.value) for letter in letters] == cases
    headers = dict(letters[5].headers)
    assert headers["traceparent"] == b"00-1"
    assert headers["kafka_dlt-original-topic"] == b"in-a"
    assert headers["kafka_dlt-original-offset"] == b"5"
    assert headers["kafka_dlt-exception-fqcn"].endswith(b"UnreadableError")
    assert headers[SERVICE_HEADER] == b"echo"
    assert world.store == {}


def test_a_large_value_is_left_out_of_its_dead_letter() -> None:
    world = ApplierHarness()
    world.send("in-a", b"k", b"x" * (LIMITS.dead_letter_bytes + 1))
    world.finish()
    letter = world.emitted[0]
    assert letter.value == b""
    assert dict(letter.headers)["tiffin-value-omitted"] == b"%d" % (LIMITS.dead_letter_bytes + 1)


def test_a_decision_that_raises_quarantines_its_key_alone() -> None:
    world = ApplierHarness()
    world.send("in-a", b"k", body("1"))
    world.send("in-a", b"k", body("2", poison=True))
    world.send("in-b", b"k", body("3"))
    world.send("in-a", b"l", body("4"))
    world.finish()
    record = world.record("k")
    assert record.state == ["1"]
    assert record.quarantine is not None
    assert record.quarantine.reason == "builtins.ValueError"
    assert (record.quarantine.input_id, record.quarantine.dead_lettered) == ("2", 2)
    assert world.record("l").state == ["4"]
    letters = [output.value for output in world.emitted if output.topic == "dlq"]
    assert sorted(map(str, letters)) == sorted(map(str, [body("2", poison=True), body("3")]))


def test_dead_letters_of_a_quarantined_key_survive_a_crash() -> None:
    world = ApplierHarness()
    world.send("in-a", b"k", body("1", poison=True))
    world.send("in-a", b"k", body("2"))
    world.apply("in-a", 2)
    world.flush()
    world.save()
    world.start_task()
    world.finish()
    letters = [output.value for output in world.emitted if output.topic == "dlq"]
    assert letters == [body("1", poison=True), body("2")]
    quarantine = world.record("k").quarantine
    assert quarantine is not None
    assert quarantine.dead_lettered == 2


def test_growth_beyond_the_limit_quarantines_the_input_that_did_it() -> None:
    world = ApplierHarness()
    for number in range(3):
        world.send("in-a", b"l", body(f"l{number}", row=True))
        world.send("in-a", b"k", body(f"{number}", grow=1_500))
    world.apply("in-a", 6)
    world.finish()
    record = world.record("k")
    assert [id_.rstrip("x") for id_ in record.state] == ["0", "1"]
    assert record.quarantine is not None
    assert record.quarantine.reason.endswith("TooLargeError")
    assert world.record("l").state == ["l0", "l1", "l2"]
    assert world.store[b"l/count"] == b"3"  # the commit_batch was undone before it was decided anew
    assert [output["id"] for output in world.first_outputs("l")] == ["l0", "l1", "l2"]
    assert [output["id"] for output in world.first_outputs("k")] == ["0", "1"]
    assert world.counters.regrouped == 1


def test_an_output_beyond_the_limit_quarantines_its_key() -> None:
    world = ApplierHarness()
    world.send("in-a", b"k", body("1", swell=1_000))
    world.finish()
    assert world.record("k").state == []
    assert world.record("k").quarantine is not None
    assert world.first_outputs("k") == []


def test_a_hot_key_waits_until_its_outputs_are_durable() -> None:
    world = ApplierHarness()
    for number in range(10):
        world.send("in-a", b"k", body(f"{number}"))
    world.apply("in-a", 10)
    assert world.next["in-a"] == LIMITS.key_inputs
    world.finish()
    assert len(world.record("k").state) == 10


def test_a_key_that_is_hot_with_what_a_dead_lane_left_goes_on() -> None:
    world = ApplierHarness()
    for number in range(LIMITS.key_inputs + 1):
        world.send("in-a", b"k", body(f"{number}"))
    world.apply("in-a", LIMITS.key_inputs)
    world.flush()
    world.save()
    world.start_task()
    world.finish()
    assert [output["id"] for output in world.first_outputs("k")] == list("01234")
    assert world.counters.reemitted == LIMITS.key_inputs


def test_a_key_too_large_and_hot_with_what_a_dead_lane_left_goes_on() -> None:
    world = ApplierHarness()
    for number in range(LIMITS.key_inputs):
        world.send("in-a", b"k", body(f"{number}"))
    world.apply("in-a", LIMITS.key_inputs)
    world.flush()
    world.save()
    stored = orjson.loads(world.store[b"k"])
    stored["state"].append("x" * LIMITS.record_bytes)  # as when the limit is lowered
    world.store[b"k"] = orjson.dumps(stored)
    world.start_task()
    world.send("in-b", b"k", body("b"))  # comes before what is redelivered
    for _ in range(3):
        world.apply("in-b", 1)
        world.flush()
        world.save()
        world.settle()
    assert world.next["in-b"] == 1
    world.finish()
    assert [output["id"] for output in world.first_outputs("k")] == list("0123")


def test_a_group_takes_so_many_inputs_of_a_key_also_when_they_lead_to_nothing() -> None:
    # Should one of them quarantine the key, all of them become dead letters in one record.
    world = ApplierHarness()
    for number in range(LIMITS.key_inputs + 1):
        world.send("in-a", b"k", body(f"{number}", quiet=True))
        world.send("in-b", b"l", body(f"{number}", quiet=True, note="n" * LIMITS.key_bytes))
    world.apply("in-a", 10)
    world.apply("in-b", 10)
    assert world.next == {"in-a": LIMITS.key_inputs, "in-b": 1}
    world.finish()
    assert len(world.record("k").state) == len(world.record("l").state) == LIMITS.key_inputs + 1


def test_outputs_of_neighbours_do_not_quarantine_a_key() -> None:
    world = ApplierHarness()
    for number in range(LIMITS.key_inputs):
        swell = LIMITS.output_bytes - 100
        world.send("in-a", b"k", body(f"{number}", swell=swell, grow=700))
    world.apply("in-a", LIMITS.key_inputs)
    world.finish()
    assert world.record("k").quarantine is None
    assert world.counters.regrouped == 0


def test_redriven_for_another_service_is_dropped() -> None:
    world = ApplierHarness()
    world.send("in-a", b"k", body("1"), tiffin_redrive=b"somebody-else")
    world.send("in-a", b"k", body("2"), tiffin_redrive=b"echo")
    world.finish()
    assert world.record("k").state == ["2"]
