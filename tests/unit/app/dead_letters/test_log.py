"""The dead-letter topic folded: lives, markers and repetitions, in whatever order they arrive."""

from __future__ import annotations

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dead_letters.log import MARKER, DeadLetterLog, marker
from app.dead_letters.publish import audit_event
from models import ids
from models.dead_letter import DeadLetter, DeadLetterState, RecordLocation, Resolution
from models.events import NO_ORDER, read_event
from models.messages import encode
from tables import DEAD_LETTER_ID_HEADER, OMITTED_VALUE_HEADER, QUARANTINE_HEADER, SERVICE_HEADER
from web.ops.dead_letter_views import row_of

KEY = b"order_x"
NAME = "payments:payment-commands:0:10"
BY = Resolution("operator:olga", "mended", 5)

Headers = list[tuple[str, bytes]]


def headers(offset: int, *, name: str | None = None, number: int = 0, since: int = 7) -> Headers:
    """Of a dead letter that was consumed at this offset."""
    found = [
        ("traceparent", b"00-1-2-01"),
        ("kafka_dlt-original-topic", b"payment-commands"),
        ("kafka_dlt-original-partition", b"0"),
        ("kafka_dlt-original-offset", b"%d" % offset),
        ("kafka_dlt-exception-fqcn", b"builtins.ValueError"),
        ("kafka_dlt-exception-message", b"no"),
        (SERVICE_HEADER, b"payments"),
    ]
    if name:
        found.append((DEAD_LETTER_ID_HEADER, name.encode()))
    if number:
        found.append((QUARANTINE_HEADER, b"%d:%d" % (since, number)))
    return found


class Topic:
    """The dead-letter topic as `DeadLetterLog` reads it."""

    def __init__(self, most: int = 100) -> None:
        self.letters = DeadLetterLog(most)
        self.end = 0

    def die(self, offset: int, *, name: str | None = None, number: int = 0, since: int = 7) -> None:
        self._take(KEY, b"{}", headers(offset, name=name, number=number, since=since))

    def mark(self, state: DeadLetterState, offset: int, name: str = NAME) -> None:
        letter = DeadLetter(
            name, 0, 0, KEY, "payments", [RecordLocation("payment-commands", 0, offset)], "", "", 0
        )
        self._take(KEY, marker(letter, state, BY), [(MARKER, state.encode())])

    def _take(self, key: bytes | None, value: bytes, headers: Headers) -> None:
        self.letters.take(self.end, 1000 + self.end, key, value, headers)
        self.end += 1


@given(data=st.data(), lives=st.integers(1, 4), is_settled=st.booleans())
def test_a_letter_is_open_if_its_last_life_is(
    data: st.DataObject, lives: int, is_settled: bool
) -> None:
    """A marker of a life comes after that life; repetitions after a crash come anywhere later."""
    placed: list[tuple[float, int, str]] = [(float(life), life, "die") for life in range(lives)]
    for life in range(lives if is_settled else lives - 1):
        placed.append((data.draw(st.floats(life + 0.1, lives + 1)), life, "mark"))
        placed.append((data.draw(st.floats(life + 0.1, lives + 1)), life, "die"))
    topic = Topic()
    for _, life, what in sorted(placed):
        if what == "die":
            topic.die(10 + life, name=NAME if life else None)
        else:
            topic.mark(DeadLetterState.REDRIVEN, 10 + life)
    (letter,) = topic.letters.all()
    assert letter.name == NAME
    assert letter.state is (DeadLetterState.REDRIVEN if is_settled else DeadLetterState.OPEN)
    assert letter.settled == (BY if is_settled else None)
    assert [origin.offset for origin in letter.origins] == [10 + life for life in range(lives)]
    assert topic.letters.open_for_key("payments", KEY) == ([] if is_settled else [letter])


def test_order_is_that_of_the_first_death() -> None:
    topic = Topic()
    topic.die(10, number=1)
    topic.die(11, number=2)
    topic.mark(DeadLetterState.REDRIVEN, 10)
    topic.die(12, name=NAME, number=3)
    found = topic.letters.open_for_key("payments", KEY)
    assert [letter.name for letter in found] == [NAME, "payments:payment-commands:0:11"]
    assert topic.letters.highest("payments", KEY, 7) == 3
    assert topic.letters.highest("payments", KEY, 8) == 0


def test_settled_ones_make_room_and_open_ones_are_never_forgotten() -> None:
    topic = Topic(most=4)
    for offset in range(10, 14):
        topic.die(offset)
    topic.die(14)
    assert topic.letters.left_out == 1
    assert not topic.letters.can_load_more()
    topic.mark(DeadLetterState.DISCARDED, 11, "payments:payment-commands:0:11")
    topic.die(15)
    names = [letter.origin.offset for letter in topic.letters.all()]
    assert names == [10, 12, 13, 15]
    for offset in (10, 12, 13):
        topic.mark(DeadLetterState.DISCARDED, offset, f"payments:payment-commands:0:{offset}")
    assert topic.letters.can_load_more()


def test_what_nobody_of_ours_wrote_can_be_listed() -> None:
    topic = Topic()
    topic._take(None, b"\xff", [])
    topic._take(KEY, b"garbage", [(MARKER, b"REDRIVEN")])
    (letter,) = topic.letters.all()
    assert (letter.name, letter.order_key) == (":payment-events-dlq:0:0", None)


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a/b", b"\0x", b"__faust_k", b"k" * 513])
def test_a_key_that_no_record_may_have_is_no_order_key(key: bytes | None) -> None:
    letter = DeadLetter("n", 0, 0, key, "payments", [RecordLocation("t", 0, 1)], "", "", 0)
    assert letter.order_key is None
    event = audit_event(letter, DeadLetterState.DISCARDED, "operator:olga", "why", 5)
    assert (event.order_id, event.payment_id) == (NO_ORDER, None)
    assert read_event(NO_ORDER.encode(), encode(event)) == event


def test_audit_tells_each_life_and_act_apart() -> None:
    key = ids.order_id("guest", "x")
    letter = DeadLetter("n", 0, 0, key.encode(), "payments", [RecordLocation("t", 0, 1)], "", "", 0)

    def event_id(state: DeadLetterState) -> str:
        event = audit_event(letter, state, "operator:olga", "why", 5)
        assert event.order_id == key
        return event.event_id

    first = [event_id(DeadLetterState.REDRIVEN), event_id(DeadLetterState.DISCARDED)]
    assert event_id(DeadLetterState.REDRIVEN) == first[0]
    letter.origins.append(RecordLocation("t", 0, 2))
    assert len({*first, event_id(DeadLetterState.REDRIVEN)}) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (QUARANTINE_HEADER, "²:1".encode()), (QUARANTINE_HEADER, b"1:" + b"9" * 5000),
        (QUARANTINE_HEADER, b"-1:x"),
        ("kafka_dlt-original-offset", b"9" * 5000), ("kafka_dlt-original-offset", "٣".encode()),
        ("kafka_dlt-original-offset", b"9223372036854775808"),
        ("kafka_dlt-original-partition", b"-1"), ("kafka_dlt-original-topic", b"../x y"),
        (OMITTED_VALUE_HEADER, "²".encode()), (DEAD_LETTER_ID_HEADER, b'a/../"><script>'),
        (DEAD_LETTER_ID_HEADER, b"n" * 5000),
        (SERVICE_HEADER, b"\xff/ \x1b[2J"), ("kafka_dlt-exception-message", b"\x1b[2J\n" + b"m" * 5000),
        ("kafka_dlt-exception-fqcn", b"e" * 5000),
    ],
)  # fmt: skip
def test_a_header_of_any_bytes_stops_no_reader(name: str, value: bytes) -> None:
    """What it names wrongly is left out: the letter is listed, can be discarded, and the next one read."""
    topic = Topic()
    topic._take(KEY, b"{}", [*headers(10), (name, value)])
    topic.die(11)
    letter, _ = topic.letters.all()
    row = row_of(letter)
    assert re.fullmatch(r"[\w-]*:[\w.-]+:\d+:\d+", row.dead_letter_id)
    assert len(row.message) <= 500
    assert "\x1b" not in row.message
    event = audit_event(letter, DeadLetterState.DISCARDED, "operator:olga", "why", 5)
    assert read_event(event.order_id.encode(), encode(event)) == event


@pytest.mark.parametrize("at_ms", [-1, 0, 4_070_908_800_000, 2**63 - 1, -(2**63)])
def test_a_dead_letter_of_any_time_is_listed(at_ms: int) -> None:
    letters = DeadLetterLog()
    letters.take(0, at_ms, KEY, b"{}", headers(10))
    told = orjson.dumps(
        {"deadLetterId": NAME, "origin": ["payment-commands", 0, 10], "state": "DISCARDED",
         "by": "x" * 5000, "reason": "\x1b[2J", "at": 1e300}
    )  # fmt: skip
    letters.take(1, at_ms, KEY, told, [(MARKER, b"DISCARDED")])
    (letter,) = letters.all()
    row = row_of(letter)
    assert (row.state, row.settled_at) == ("DISCARDED", "9999-12-31T23:59:59.999Z")
    assert len(row.by or "") <= 500


@pytest.mark.parametrize(
    "value", [b"{}", b"[" * 900, b"null", b'{"deadLetterId":[]}', b"\xff", None]
)
def test_a_marker_that_is_none_marks_nothing(value: bytes | None) -> None:
    topic = Topic()
    topic.die(10)
    topic.letters.take(9, 0, KEY, value, [(MARKER, b"x")])
    assert [letter.state for letter in topic.letters.all()] == [DeadLetterState.OPEN]


# -- what is shown of a record
