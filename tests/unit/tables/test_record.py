"""Records: what is stored is read back, outcomes within their bounds.

Outputs in the outbox are read back byte for byte, and sent again only if they may not have left.
"""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents import services
from models.ids import token as id_token
from models.order import OrderRecord, OrderWork
from models.transition import InputIdentity, Outcome, Output
from tables.limits import Limits
from tables.outbox import dump_entry, load_outputs
from tables.packing import PACKED
from tables.record import TERMINAL, NewerRecordError, Quarantine, Record
from tests.support.engine_services import PLAIN

NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
OUTPUTS = st.lists(
    st.builds(
        Output,
        topic=NAMES,
        key=NAMES,
        value=st.binary(max_size=40) | NAMES.map(str.encode),
        headers=st.lists(st.tuples(NAMES, st.binary(max_size=8)), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=4,
)


def test_a_record_is_read_back_as_it_was() -> None:
    record = Record("k", None, PLAIN)
    record.state = {"n": 1}
    record.version, record.epoch = 3, 9
    record.offsets["in"] = 5
    record.sequences["in/other"] = 4
    record.keep_id("in", id_token("a"), 2)
    record.count_input(0, dump_entry("in", 5, [Output("out", "k", b"{}")]))
    outcome = Outcome(accepted=False, code="NO", detail="d", events=("e",), positions={"out": 2})
    record.keep_outcome(InputIdentity("cmd", body_hash="hash"), outcome, 1_000, Limits())
    record.quarantine = Quarantine("builtins.ValueError", 1_000, "x", 2)
    raw = record.dump(PLAIN)
    again = Record("k", raw, PLAIN)
    assert again.snapshot() == record.snapshot()
    again.take_over_outbox(10, {"in": 4})
    assert again.dump(PLAIN) == raw
    seen = again.snapshot()
    assert (seen.key, seen.version, seen.state) == ("k", 3, {"n": 1})
    assert seen.outcomes["cmd"].outcome == outcome
    assert seen.outcomes["cmd"].body_hash == "hash"
    assert seen.quarantine == record.quarantine
    assert seen.sequences == {"in/other": 4}


def test_fields_of_a_newer_build_are_kept() -> None:
    """Beside the state and inside of it, however often an older build writes the record again."""
    orders = next(service for service in services() if service.name == "orders")
    record = Record("k", None, orders)
    record.state = OrderRecord(work=OrderWork(command_sequence=1))
    stored = orjson.loads(record.dump(orders))
    stored |= {
        "shard": 7,
        "state": {"tip": {"a": 1}, "work": {**stored["state"]["work"], "rank": 2}},
    }
    for number in range(2, 4):
        record = Record("k", orjson.dumps(stored), orders)
        assert record.state == OrderRecord(work=OrderWork(command_sequence=number - 1))
        record.state = replace(
            record.state, work=replace(record.state.work, command_sequence=number)
        )
        stored = orjson.loads(record.dump(orders))
        assert stored["shard"] == 7
        assert stored["state"] == {"tip": {"a": 1}, "work": {"commandSequence": number, "rank": 2}}
        assert stored["index"]


def test_a_record_of_a_later_version_is_not_read() -> None:
    stored = orjson.loads(Record("k", None, PLAIN).dump(PLAIN)) | {"schemaVersion": 2}
    with pytest.raises(NewerRecordError):
        Record("k", orjson.dumps(stored), PLAIN)


@given(st.lists(st.text(min_size=1, max_size=8), max_size=30, unique=True), st.integers(1, 10))
def test_only_the_last_ids_are_remembered(ids: list[str], cap: int) -> None:
    record = Record("k", None, PLAIN)
    for name in ids:
        record.keep_id("in", id_token(name), cap)
    known = record.ids.get("in", "")
    assert [name for name in ids if id_token(name) in known] == ids[-cap:]


def test_a_copy_shares_nothing_that_a_decision_changes() -> None:
    record = Record("k", None, PLAIN)
    record.keep_id("in", id_token("a"), 2)
    before = record.copy()
    record.keep_id("in", id_token("b"), 2)
    record.offsets["in"] = 1
    record.count_input(0, dump_entry("in", 1, [Output("out", "k", b"{}")]))
    record.outcomes["c"] = []
    assert (before.ids, before.offsets, before.outbox, before.outcomes) == (
        {"in": id_token("a")},
        {},
        [],
        {},
    )


def test_only_terminal_records_begin_as_terminal() -> None:
    record = Record("k", None, PLAIN)
    record.state = {"terminal": True}
    assert not record.dump(PLAIN).startswith(TERMINAL)
    record.state = {"done": True}
    assert record.dump(PLAIN).startswith(PACKED)
    record.count_input(0, dump_entry("in", 1, [Output("out", "k", b"{}")]))
    with_outbox = record.dump(PLAIN)
    assert with_outbox.startswith(TERMINAL + b',"schemaVersion"'), "until its outputs have left"
    assert Record("k", with_outbox, PLAIN).inherited_outbox


@given(st.lists(st.integers(0, 500), min_size=1, max_size=60), st.integers(1, 10))
def test_outcomes_stay_within_time_and_number(gaps: list[int], cap: int) -> None:
    record, now, kept = Record("k", None, PLAIN), 0, []
    for number, gap in enumerate(gaps):
        now += gap
        kept.append((f"c{number}", now))
        limits = Limits(outcome_ttl_s=1, outcomes=cap)
        record.keep_outcome(InputIdentity(f"c{number}"), Outcome(accepted=True), now, limits)
    wanted = [name for name, at in kept if at > now - 1_000][-cap:]
    assert list(record.outcomes) == wanted


@given(OUTPUTS)
def test_unsent_outputs_come_back_byte_for_byte(outputs: list[Output]) -> None:
    entry = orjson.loads(dump_entry("topic", 7, outputs))
    assert entry[:2] == ["topic", 7]
    assert list(load_outputs(entry)) == outputs


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 3)), max_size=20), st.data())
def test_only_what_an_earlier_lane_may_not_have_sent_is_sent_again(
    inputs: list[tuple[str, int]], data: st.DataObject
) -> None:
    record = Record("k", None, PLAIN)
    record.epoch = 3
    for offset, (topic, many) in enumerate(inputs):
        record.count_input(
            0, dump_entry(topic, offset, [Output("out", "k", b"%d" % offset)] * many)
        )
    raw = record.dump(PLAIN)
    settled = data.draw(st.integers(-1, len(inputs)))
    done = {"a": settled, "b": settled}
    left = [b"%d" % n for n, (_, many) in enumerate(inputs) if n > settled for _ in range(many)]
    again = Record("k", raw, PLAIN)
    assert [output.value for output in again.take_over_outbox(4, done)] == left
    stored = Record("k", again.dump(PLAIN), PLAIN)
    assert [output.value for output in stored.take_over_outbox(5, {})] == left
    assert not Record("k", raw, PLAIN).take_over_outbox(3, done), (
        "the task that wrote them sends them"
    )
