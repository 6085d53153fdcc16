"""Fields of a newer build: readers of Kafka and of tables pass over them; what is rewritten keeps them."""

from __future__ import annotations

import copy
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import services
from models.commands import (
    Command,
    CommandType,
    PlaceOrder,
    WebhookReceived,
    read_command,
    read_webhook,
)
from models.events import EVENTS, Event, read_event
from models.levels import Level
from models.messages import Message, convert, convert_known, decode, decode_known, encode
from models.notification import NotificationRecord
from models.order import OrderRecord
from models.payment import PaymentRecord
from models.reconciliation import ReconciliationReport
from models.topics import ORDER_COMMANDS
from models.transition import UnknownFieldsError, UnreadableError
from models.unknown_fields import put_back, without_unknown
from models.upcasters import Step, upcast, written_version
from tests.support.message_strategies import ORDER, values_of

KINDS = (
    PlaceOrder, Event, Command, WebhookReceived, OrderRecord, PaymentRecord, NotificationRecord,
    ReconciliationReport, *{spec.data for spec in EVENTS.values()},
)  # fmt: skip
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


def messages_in(value: Any, kind: Any) -> list[dict[str, Any]]:
    """The objects in a JSON value that are messages: where a newer build may have put a field."""
    found: list[dict[str, Any]] = []

    def look(message: Any, raw: Any) -> None:
        if isinstance(message, Message) and isinstance(raw, dict):
            found.append(raw)
            for name, wire in zip(
                message.__struct_fields__, message.__struct_encode_fields__, strict=True
            ):
                if wire in raw:
                    look(getattr(message, name), raw[wire])
        elif isinstance(message, dict) and isinstance(raw, dict):
            for (_, each), inner in zip(message.items(), raw.values(), strict=True):
                look(each, inner)
        elif isinstance(message, tuple | list) and isinstance(raw, list):
            for each, inner in zip(message, raw, strict=True):
                look(each, inner)

    look(convert(kind, value), value)
    return found


def valid_values(kind: type[Message]) -> list[Any]:
    """JSON values of a message that its checks take."""
    found = []
    for value in values_of(kind) if kind not in {Event, Command} else [ENVELOPES[kind]]:
        try:
            found.append(msgspec.to_builtins(convert(kind, value), str_keys=True))
        except (ValueError, TypeError):
            continue
    return found


ENVELOPES: dict[Any, Any] = {
    Event: {
        "eventId": "e", "eventType": "ORDER_CONFIRMED", "occurredAt": "2026-11-23T07:00:00.000Z",
        "orderId": ORDER, "paymentId": None, "sequence": 1, "causationId": "c", "correlationId": "c",
        "producer": "orders", "data": {},
    },
    Command: {
        "commandId": "c", "commandType": "CANCEL_ORDER", "issuedAt": "2026-11-23T07:00:00.000Z",
        "issuedBy": "customer:c", "orderId": ORDER, "data": {},
    },
}  # fmt: skip
BODIES = {kind: ([ENVELOPES[kind]] if kind in ENVELOPES else valid_values(kind)) for kind in KINDS}

FILLED = [kind for kind in KINDS if kind not in ENVELOPES and BODIES[kind]]
"""Of the others no value at the bounds is one that its checks take."""


@pytest.mark.parametrize("kind", FILLED, ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), extra=ANY_JSON)
def test_they_are_left_out_and_put_back(kind: type[Message], seed: int, extra: Any) -> None:
    rnd = random.Random(seed)
    plain = rnd.choice(BODIES[kind])
    newer = copy.deepcopy(plain)
    places = messages_in(newer, kind)
    for place in rnd.sample(places, k=min(len(places), rnd.randint(1, 3))):
        place[rnd.choice(("later", "tip", "x"))] = copy.deepcopy(extra)
    with pytest.raises(ValueError, match="unknown field"):
        convert(kind, newer)
    known, unknown = without_unknown(kind, newer)
    assert known == plain
    assert convert_known(kind, newer) == (convert(kind, plain), unknown)
    assert decode_known(kind, msgspec.json.encode(newer)) == convert(kind, plain)
    assert put_back(copy.deepcopy(plain), unknown) == newer


def test_every_kind_of_state_has_values() -> None:
    """Else the test above would not be of what it is for."""
    assert len(FILLED) > 30
    assert {OrderRecord, PaymentRecord, NotificationRecord, PlaceOrder} <= set(FILLED)


def test_what_they_told_of_may_be_gone_or_changed() -> None:
    value = {"a": {"x": 1}, "items": [{"n": 1}, {"n": 2}], "named": {"k": {}}}
    told = [
        *without_unknown(OrderRecord, {"later": 1})[1],
    ]
    assert put_back({"later": 2}, told) == {"later": 2}  # a newer build's own value stays
    assert put_back({}, told) == {"later": 1}
    assert value["a"] == {"x": 1}


def test_items_of_a_list_keep_theirs_though_it_is_cut() -> None:
    item = {"dishId": "d", "name": "n", "quantity": 1, "unitPrice": 5}
    order = {
        "restaurantId": "r", "restaurantName": "R", "amount": 5, "currency": "INR", "userId": "u",
        "contact": {"name": "n", "email": "e", "phone": "p"},
        "address": {"line1": "l", "city": "c", "postalCode": "1"},
        "items": [{**item, "quantity": 2}, {**item, "spice": "hot"}],
    }  # fmt: skip
    known, unknown = without_unknown(PlaceOrder, order)
    assert convert(PlaceOrder, known)
    del known["items"][0]
    assert put_back(known, unknown)["items"] == [{**item, "spice": "hot"}]


def test_readers_pass_over_fields_in_envelopes_and_data() -> None:
    event = {**ENVELOPES[Event], "tenant": {"a": 1}, "data": {"by": "kitchen:r", "reason": "late"}}
    read = read_event(ORDER.encode(), msgspec.json.encode(event))
    assert (read.event_type, read.data.by) == ("ORDER_CONFIRMED", "kitchen:r")
    command = {**ENVELOPES[Command], "tenant": 1, "data": {"reason": "TOO_SLOW", "note": [1]}}
    asked = read_command(ORDER_COMMANDS, ORDER.encode(), msgspec.json.encode(command))
    assert asked.data.reason == "TOO_SLOW"
    webhook = {
        "orderId": ORDER, "stripeEventId": "e", "stripeEventType": "t", "created": 5, "mode": "x",
        "intent": {
            "intentId": "pi", "status": "succeeded", "amount": 1, "amountReceived": 1,
            "currency": "INR", "link": None,
        },
    }  # fmt: skip
    told = read_webhook(ORDER.encode(), msgspec.json.encode(webhook))
    assert told.intent is not None
    assert told.intent.intent_id == "pi"


def test_what_is_wrong_beside_them_is_refused_still() -> None:
    event = {**ENVELOPES[Event], "tenant": 1, "sequence": -1}
    with pytest.raises(UnreadableError, match="sequence"):
        read_event(ORDER.encode(), msgspec.json.encode(event))
    with pytest.raises(UnreadableError, match="data: by: expected"):
        read_event(
            ORDER.encode(), msgspec.json.encode({**ENVELOPES[Event], "data": {"x": 1, "by": 5}})
        )


def test_strict_reading_is_still_there_for_what_we_make() -> None:
    with pytest.raises(ValueError, match="unknown field"):
        decode(WebhookReceived, b'{"later":1}')


def test_a_service_gives_its_state_and_the_fields() -> None:
    for service in services():
        if service.name not in {"payments", "orders", "deliveries", "notifications"}:
            continue
        raw = msgspec.json.decode(encode(service.initial))
        with pytest.raises(UnknownFieldsError) as found:
            service.load({**raw, "later": {"a": 1}})
        assert found.value.state == service.initial
        assert [(each.path, each.value) for each in found.value.fields] == [(("later",), {"a": 1})]


# -- versions of a type's data

STEPS = {
    CommandType.CANCEL_ORDER: (
        Step(Level.V0_1, lambda data: {"why": data.pop("reason", None), **data}),
        Step(Level.V0_2, lambda data: {**data, "why": [data["why"]]}),
    )
}


def test_earlier_versions_are_brought_up_to_the_newest() -> None:
    kind = CommandType.CANCEL_ORDER
    assert upcast(kind, 1, {"reason": "r"}, STEPS) == {"why": ["r"]}
    assert upcast(kind, 2, {"why": "r"}, STEPS) == {"why": ["r"]}
    assert upcast(kind, 3, {"why": ["r"]}, STEPS) == {"why": ["r"]}
    for unknown in (0, 4):
        with pytest.raises(UnreadableError, match=f"{unknown} is not known, 1 to 3 are"):
            upcast(kind, unknown, {}, STEPS)


def test_a_next_version_is_written_from_its_level_on() -> None:
    kind = CommandType.CANCEL_ORDER
    assert [written_version(kind, level, STEPS) for level in (0, 1, 2)] == [1, 2, 3]
    assert written_version("PLACE_ORDER", 2, STEPS) == 1


def test_a_version_that_is_not_known_is_refused() -> None:
    event = {**ENVELOPES[Event], "schemaVersion": 2}
    with pytest.raises(UnreadableError, match="schemaVersion: 2 is not known, 1 is"):
        read_event(ORDER.encode(), msgspec.json.encode(event))
