"""The dead-letter topic folded: lives, markers and repetitions, in whatever order they arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dead_letter_topic import MARKER, Letters, marker
from app.redrive_rules import audit_event
from models import ids
from models.events import NO_ORDER, read_event
from models.messages import encode
from tables import DEAD_LETTER, QUARANTINE, SERVICE
from web.dead_letter_views import decoded, masked
from web.ops_ports import Letter, LetterState, Origin, Settled

KEY = b"order_x"
NAME = "payments:payment-commands:0:10"
BY = Settled("operator:olga", "mended", 5)

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
        (SERVICE, b"payments"),
    ]
    if name:
        found.append((DEAD_LETTER, name.encode()))
    if number:
        found.append((QUARANTINE, b"%d:%d" % (since, number)))
    return found


class Topic:
    """The dead-letter topic as `Letters` reads it."""

    def __init__(self, most: int = 100) -> None:
        self.letters = Letters(most)
        self.end = 0

    def die(self, offset: int, *, name: str | None = None, number: int = 0, since: int = 7) -> None:
        self._take(KEY, b"{}", headers(offset, name=name, number=number, since=since))

    def mark(self, state: LetterState, offset: int, name: str = NAME) -> None:
        letter = Letter(
            name, 0, 0, KEY, "payments", [Origin("payment-commands", 0, offset)], "", "", 0
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
            topic.mark(LetterState.REDRIVEN, 10 + life)
    (letter,) = topic.letters.all()
    assert letter.name == NAME
    assert letter.state is (LetterState.REDRIVEN if is_settled else LetterState.OPEN)
    assert letter.settled == (BY if is_settled else None)
    assert [origin.offset for origin in letter.origins] == [10 + life for life in range(lives)]
    assert topic.letters.open_of("payments", KEY) == ([] if is_settled else [letter])


def test_order_is_that_of_the_first_death() -> None:
    topic = Topic()
    topic.die(10, number=1)
    topic.die(11, number=2)
    topic.mark(LetterState.REDRIVEN, 10)
    topic.die(12, name=NAME, number=3)
    found = topic.letters.open_of("payments", KEY)
    assert [letter.name for letter in found] == [NAME, "payments:payment-commands:0:11"]
    assert topic.letters.highest("payments", KEY, 7) == 3
    assert topic.letters.highest("payments", KEY, 8) == 0


def test_settled_ones_make_room_and_open_ones_are_never_forgotten() -> None:
    topic = Topic(most=4)
    for offset in range(10, 14):
        topic.die(offset)
    topic.die(14)
    assert topic.letters.left_out == 1
    assert not topic.letters.has_room()
    topic.mark(LetterState.DISCARDED, 11, "payments:payment-commands:0:11")
    topic.die(15)
    names = [letter.origin.offset for letter in topic.letters.all()]
    assert names == [10, 12, 13, 15]
    for offset in (10, 12, 13):
        topic.mark(LetterState.DISCARDED, offset, f"payments:payment-commands:0:{offset}")
    assert topic.letters.has_room()


def test_what_nobody_of_ours_wrote_can_be_listed() -> None:
    topic = Topic()
    topic._take(None, b"\xff", [])
    topic._take(KEY, b"garbage", [(MARKER, b"REDRIVEN")])
    (letter,) = topic.letters.all()
    assert (letter.name, letter.order_key) == (":payment-events-dlq:0:0", None)


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a/b", b"\0x"])
def test_a_key_that_no_record_may_have_is_no_order_key(key: bytes | None) -> None:
    letter = Letter("n", 0, 0, key, "payments", [Origin("t", 0, 1)], "", "", 0)
    assert letter.order_key is None
    event = audit_event(letter, LetterState.DISCARDED, "operator:olga", "why", 5)
    assert (event.order_id, event.payment_id) == (NO_ORDER, None)
    assert read_event(NO_ORDER.encode(), encode(event)) == event


def test_audit_tells_each_life_and_act_apart() -> None:
    key = ids.order_id("guest", "x")
    letter = Letter("n", 0, 0, key.encode(), "payments", [Origin("t", 0, 1)], "", "", 0)

    def event_id(state: LetterState) -> str:
        event = audit_event(letter, state, "operator:olga", "why", 5)
        assert event.order_id == key
        return event.event_id

    first = [event_id(LetterState.REDRIVEN), event_id(LetterState.DISCARDED)]
    assert event_id(LetterState.REDRIVEN) == first[0]
    letter.origins.append(Origin("t", 0, 2))
    assert len({*first, event_id(LetterState.REDRIVEN)}) == 3


def test_contacts_are_masked_and_so_is_what_can_not_be_read() -> None:
    command = (
        b'{"commandType":"PLACE_ORDER","data":{"contact":{"name":"A"},"address":{},"amount":1}}'
    )
    assert masked(*decoded(command)) == (
        True,
        {
            "commandType": "PLACE_ORDER",
            "data": {"contact": "***", "address": "***", "amount": 1},
        },
    )
    for value in (b'{"contact":{"name":"A"', b"\xff\xfe", b"[1]", b'{"data":[]}'):
        assert masked(*decoded(value)) == (True, "***")
    cancel = b'{"data":{"reason":"x"}}'
    assert masked(*decoded(cancel)) == (False, {"data": {"reason": "x"}})
    assert decoded(b"\xff\xfe") == ("base64", "//4=")
    assert decoded(None) == ("none", None)
