"""What foreign producers write into our topics: named dead letters, and no order that is turned away."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Raw, structs

import agents
from agents.analytics import ANALYTICS
from agents.orders import orders_service
from models import ids, topics
from models.commands import COMMANDS, Command, WebhookReceived
from models.events import EVENTS, Event
from models.fields import TEXT_END
from models.messages import Message
from models.times import to_rfc3339
from models.transition import Input, UnreadableError
from tests.support.message_strategies import ORDER, records

SERVICES: Final = agents.services()
NOW: Final = "2026-11-23T07:00:00.000Z"
NOW_MS: Final = 1_795_417_200_000

PAID: Final[dict[str, Any]] = {
    "eventId": "e1", "eventType": "PAYMENT_COMPLETED", "schemaVersion": 1, "occurredAt": NOW,
    "orderId": ORDER, "paymentId": "pay_1", "sequence": 3, "causationId": "c1",
    "correlationId": "c0", "producer": "payments",
    "data": {"paymentId": "pay_1", "orderId": ORDER, "amount": 2500, "currency": "INR",
             "stripeChargeId": "ch_1", "receiptUrl": None, "attempt": 1},
}  # fmt: skip
OPENED: Final = PAID | {
    "eventId": "e0", "eventType": "PAYMENT_INITIATED", "sequence": 1,
    "data": {"orderId": ORDER, "userId": "guest", "amount": 2500, "currency": "INR",
             "stripeIntentId": "pi_1", "restaurantId": "r1"},
}  # fmt: skip
REFUND: Final[dict[str, Any]] = {
    "commandId": "cmd_1", "commandType": "REFUND_PAYMENT", "schemaVersion": 1, "issuedAt": NOW,
    "issuedBy": "operator:a", "orderId": ORDER, "data": {"amount": 100, "reason": "LATE"},
}  # fmt: skip
RESULT: Final = REFUND | {
    "commandType": "NOTIFICATION_RESULT",
    "data": {"notificationId": "n1", "attempt": 1, "result": "SENT"},
}
DISPUTED: Final[dict[str, Any]] = {
    "orderId": ORDER, "stripeEventId": "evt_1", "stripeEventType": "charge.dispute.created",
    "created": 1_795_417_200, "dispute": {
        "disputeId": "du_1", "intentId": "pi_1", "chargeId": "ch_1", "amount": 100,
        "currency": "INR", "status": "needs_response", "reason": "fraudulent",
        "evidenceDueBy": 1_795_417_200},
}  # fmt: skip

MISPLACED: Final = PAID | {"producer": "orders", "data": {}}

INTENT: Final = {
    "intentId": "pi_1", "status": "succeeded", "amount": 1, "amountReceived": 1, "currency": "INR"
}  # fmt: skip

BAD: Final[list[tuple[str, dict[str, Any], str, Any]]] = [
    *(
        (topics.PAYMENT_EVENTS, PAID, "occurredAt", value)
        for value in (
            "not a time", "", "0000-01-01T00:00:00.000Z", "0001-01-01T00:00:00.000Z",
            "2100-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "+10000-01-01T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z", "2026-11-23T07:00:00.000", "2026-11-23", 1_795_417_200, None,
            "1969-12-31T23:59:59.999Z", "2026-11-23T07:00:00.000+99:99",
        )
    ),
    *(
        (topics.PAYMENT_EVENTS, PAID, "data.amount", value)
        for value in (2**63, 2**64, 10**40, -1, -(2**63), 1e3, 1e400, "2500", None, True, 10**12 + 1)
    ),
    *((topics.PAYMENT_EVENTS, PAID, "data.currency", value) for value in ("inr", "ZZZ", "", 7)),
    *((topics.PAYMENT_EVENTS, PAID, "sequence", value) for value in (0, -1, 10**6, 2**63, 2**70, "x")),
    *((topics.PAYMENT_EVENTS, PAID, "eventId", value) for value in ("", "e" * 256, "a b", "é", "a\0")),
    *((topics.PAYMENT_EVENTS, PAID, "orderId", value) for value in ("", "o" * 201, "a/b", "a\n")),
    *((topics.PAYMENT_EVENTS, PAID, "data.attempt", value) for value in (2**63, -1, 10**9)),
    (topics.PAYMENT_EVENTS, PAID, "eventType", "PAYMENT_ROBBED"),
    (topics.PAYMENT_EVENTS, MISPLACED, "eventType", "ORDER_PREPARING"),
    (topics.PAYMENT_EVENTS, PAID, "producer", "orders"),
    (topics.PAYMENT_EVENTS, PAID, "producer", "operators"),
    (topics.PAYMENT_EVENTS, PAID, "schemaVersion", 2**63),
    (topics.PAYMENT_EVENTS, PAID, "causationId", "c" * 501),
    (topics.PAYMENT_COMMANDS, REFUND, "issuedAt", "yesterday"),
    (topics.PAYMENT_COMMANDS, REFUND, "data.amount", 0),
    (topics.PAYMENT_COMMANDS, REFUND, "data.amount", 2**63),
    (topics.PAYMENT_COMMANDS, REFUND, "data.reason", "r" * 501),
    (topics.PAYMENT_COMMANDS, REFUND, "commandType", "PLACE_ORDER"),
    (topics.PAYMENT_COMMANDS, REFUND, "commandId", "c" * 256),
    (topics.PAYMENT_COMMANDS, REFUND, "producer", "payments"),
    (topics.PAYMENT_COMMANDS, REFUND, "sequence", 7),
    (topics.NOTIFICATION_COMMANDS, RESULT, "data.attempt", 2**64),
    (topics.NOTIFICATION_COMMANDS, RESULT, "data.result", "LOST"),
    (topics.WEBHOOKS, DISPUTED, "created", 2**63),
    (topics.WEBHOOKS, DISPUTED, "intent", INTENT),
    (topics.WEBHOOKS, DISPUTED, "created", -1),
    (topics.WEBHOOKS, DISPUTED, "dispute.evidenceDueBy", 10**30),
    (topics.WEBHOOKS, DISPUTED, "dispute.currency", "XYZ"),
    (topics.WEBHOOKS, DISPUTED, "dispute.amount", 2**63),
]  # fmt: skip


def parse(topic: str, value: bytes, key: bytes = ORDER.encode()) -> Any:
    service = next(each for each in SERVICES if topic in each.inputs)
    return service.parse(topic, key, value)


def changed(record: dict[str, Any], path: str, value: Any) -> bytes:
    first, _, then = path.partition(".")
    new = {**record[first], then: value} if then else value
    text = orjson.dumps({**record, first: "HERE"}).decode()
    return text.replace('"HERE"', _json(new)).encode()


def _json(value: Any) -> str:
    """JSON with numbers that no 64 bits hold."""
    if isinstance(value, dict):
        return "{" + ",".join(f'"{name}":{_json(each)}' for name, each in value.items()) + "}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return "1e400" if value == float("inf") else orjson.dumps(value).decode()


@pytest.mark.parametrize(
    ("topic", "record"),
    [(topics.PAYMENT_EVENTS, PAID), (topics.PAYMENT_COMMANDS, REFUND),
     (topics.NOTIFICATION_COMMANDS, RESULT), (topics.WEBHOOKS, DISPUTED)],
)  # fmt: skip
def test_the_records_that_are_changed_below_can_be_read(topic: str, record: dict[str, Any]) -> None:
    parse(topic, orjson.dumps(record))


@pytest.mark.parametrize(("topic", "record", "path", "value"), BAD)
def test_what_nobody_can_work_with_is_unreadable_and_named(
    topic: str, record: dict[str, Any], path: str, value: Any
) -> None:
    bad = changed(record, path, value)
    key = value.encode() if path == "orderId" else ORDER.encode()
    with pytest.raises(UnreadableError, match=path.rpartition(".")[2]):
        parse(topic, bad, key)


@pytest.mark.parametrize(
    "deep", [b'{"a":' * 900 + b"1" + b"}" * 900, b"[" * 100_000, b'{"a":"\\ud800"}']
)
def test_what_is_no_json_of_ours_is_unreadable(deep: bytes) -> None:
    for topic in (topics.PAYMENT_EVENTS, topics.PAYMENT_COMMANDS, topics.WEBHOOKS):
        with pytest.raises(UnreadableError):
            parse(topic, deep)


def test_an_audit_record_without_its_own_fields_is_unreadable() -> None:
    audit = PAID | {"eventType": "EFFECT_REQUESTED", "data": {"shop": "theirs"}}
    with pytest.raises(UnreadableError, match="data: effectId: field required"):
        parse(topics.ORDER_AUDIT, orjson.dumps(audit))


# -- every field has a bound ---------------------------------------------------------------------


def fields(kind: type[Message]) -> Iterator[tuple[str, Any, list[Meta]]]:
    for field in structs.fields(kind):
        yield from _parts(f"{kind.__name__}.{field.name}", field.type, [])


def _parts(name: str, kind: Any, bounds: list[Meta]) -> Iterator[tuple[str, Any, list[Meta]]]:
    origin, given_ = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from _parts(name, given_[0], [*bounds, *given_[1:]])
    elif origin in {Union, UnionType}:
        for part in given_:
            yield from _parts(name, part, bounds)
    elif origin is tuple:
        yield name, tuple, bounds
        yield from _parts(name, given_[0], [])
    elif isinstance(kind, type) and issubclass(kind, Message):
        yield from fields(kind)
    elif origin is not Literal and kind is not NoneType and not _is_enum(kind):
        yield name, kind, bounds


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and (issubclass(kind, Enum) or kind is bool)


MESSAGES: Final[list[type[Message]]] = sorted(
    {
        Command,
        Event,
        WebhookReceived,
        *(spec.data for spec in COMMANDS.values()),
        *(spec.data for spec in EVENTS.values()),
    },
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_field_of_what_is_read_has_bounds(kind: type[Message]) -> None:
    unbounded = [name for name, of, bounds in fields(kind) if not _is_bounded(name, of, bounds)]
    assert not unbounded


def _is_bounded(name: str, kind: Any, bounds: list[Meta]) -> bool:
    if name in {"Event.data", "Command.data"}:
        return kind is Raw  # read once more, as the type's own
    if kind is int:
        is_least = any(b.ge is not None or b.gt is not None for b in bounds)
        return is_least and any(b.le is not None or b.lt is not None for b in bounds)
    has_length = any(b.max_length is not None for b in bounds)
    forms = [(b.pattern or "").removesuffix(TEXT_END) for b in bounds]
    is_short = any(form.endswith("}") or "\\d{4}" in form for form in forms)
    return kind in {str, tuple} and (has_length or is_short)


# -- and no service is brought to its knees by what is let in -----------------------------------


def given_records(service: Any) -> st.SearchStrategy[list[tuple[str, bytes, int]]]:
    times = st.sampled_from([NOW_MS, -1, 0, 4_070_908_800_000, 10**17, -(10**17)])
    one = st.sampled_from(list(service.inputs)).flatmap(
        lambda topic: st.tuples(st.just(topic), records(topic), times)
    )
    return st.lists(one, min_size=1, max_size=12)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_order_is_turned_away_whatever_is_written_about_it(service: Any, data: Any) -> None:
    """A record is refused as unreadable or taken in; what it emits can be read and stored."""
    state = service.load(None)
    rows: dict[str, bytes] = {}
    for offset, (topic, value, at_ms) in enumerate(data.draw(given_records(service))):
        header, message = service.parse(topic, ORDER.encode(), value)
        given_ = Input(topic, ORDER, header, message, at_ms, (), offset)
        try:
            decision = service.decide(state, given_, rows.get)
        except UnreadableError:
            continue
        state = service.load(orjson.loads(orjson.dumps(service.dump(decision.state))))
        rows |= decision.rows
        for output in decision.outputs:
            _read_by_all(output.topic, output.value)


def _read_by_all(topic: str, value: bytes) -> None:
    for service in SERVICES:
        if topic in service.inputs:
            service.parse(topic, ORDER.encode(), value)


# -- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_ms", [-1, 0, 86_400_000, 4_070_908_800_000, 10**17])
def test_a_timestamp_that_is_no_time_is_not_stored(at_ms: int) -> None:
    """-1, 1970, 2099 and beyond any calendar: what the command says of itself counts."""
    service = orders_service()
    place = {
        "commandId": "cmd_1", "commandType": "PLACE_ORDER", "issuedAt": NOW, "issuedBy": "guest",
        "orderId": ORDER, "data": {
            "restaurantId": "r1", "restaurantName": "R", "amount": 2500, "currency": "INR",
            "userId": "g", "items": [{"dishId": "d", "name": "D", "quantity": 1, "unitPrice": 2500}],
            "contact": {"name": "n", "email": "e", "phone": "1"},
            "address": {"line1": "l", "city": "c", "postalCode": "1"}},
    }  # fmt: skip
    header, message = service.parse(topics.ORDER_COMMANDS, ORDER.encode(), orjson.dumps(place))
    given_ = Input(topics.ORDER_COMMANDS, ORDER, header, message, at_ms)
    decision = service.decide(service.load(None), given_, lambda _: None)
    assert decision.state.placed.placed_at == NOW_MS
    assert orjson.loads(decision.outputs[0].value)["issuedAt"] == NOW


@pytest.mark.parametrize(
    ("at_ms", "shown"),
    [
        (-(10**20), "0001-01-01T00:00:00.000Z"),
        (10**20, "9999-12-31T23:59:59.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_a_stored_time_that_no_calendar_has_is_shown_as_its_end(at_ms: int, shown: str) -> None:
    assert to_rfc3339(at_ms) == shown


def test_analytics_name_what_they_cannot_count_and_go_on() -> None:
    """A foreign event before the payment's first one: a dead letter; the honest ones are counted."""
    service, state = ANALYTICS, None
    rows: dict[str, bytes] = {}
    order = ids.order_id("guest", "made")
    log = [(PAID, 0), (OPENED, 1), (PAID | {"sequence": 2, "eventId": "e2"}, 2)]
    refused = []
    for record, offset in log:
        header, message = service.parse(topics.PAYMENT_EVENTS, order.encode(), orjson.dumps(record))
        given_ = Input(topics.PAYMENT_EVENTS, order, header, message, NOW_MS, (), offset)
        try:
            decision = service.decide(state, given_, rows.get)
        except UnreadableError as error:
            refused.append(str(error))
            continue
        state = decision.state
        rows |= decision.rows
    assert refused == ["eventType: a payment begins with PAYMENT_INITIATED, not PAYMENT_COMPLETED"]
    assert orjson.loads(rows["day/20261123/INR/r1"])["sums"]["captured"] == 2500


def test_reasons_of_declines_cannot_make_a_row_too_large() -> None:
    service, state = ANALYTICS, None
    rows: dict[str, bytes] = {}
    for number in range(1, 400):
        record = OPENED | {"eventId": f"e{number}", "sequence": number}
        if number > 1:
            data = {"paymentId": "p", "orderId": ORDER, "attempt": 1}
            record |= {"eventType": "PAYMENT_FAILED",
                       "data": data | {"failureReason": f"{number}/" + "é" * 400}}  # fmt: skip
        header, message = service.parse(topics.PAYMENT_EVENTS, ORDER.encode(), orjson.dumps(record))
        given_ = Input(topics.PAYMENT_EVENTS, ORDER, header, message, NOW_MS, (), number)
        decision = service.decide(state, given_, rows.get)
        state = decision.state
        rows |= decision.rows
    largest = max(rows.values(), key=len)
    assert len(largest) < 10_000
    sums = orjson.loads(largest)["sums"]
    assert (
        sum(n for name, n in sums.items() if name.startswith("declines/"))
        == sums["declined"]
        == 398
    )
