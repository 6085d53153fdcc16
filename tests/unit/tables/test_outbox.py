"""Outputs in the outbox: read back byte for byte, and sent again only if they may not have left."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from models.transition import Output
from tables.outbox import dump_entry, load_outputs
from tables.record import (
    Record,
)
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
