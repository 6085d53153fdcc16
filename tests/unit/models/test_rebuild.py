"""The rebuild proof: what it skips, what it finds, and that orders on the move disturb nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from models import ids, rebuild, topics
from models.events import EVENTS, Event, EventType
from models.messages import Message, decode, encode
from models.rebuild import EVENT_FOLDS, Digest, Fault, Rebuild
from models.times import to_rfc3339

E = EventType
ORDER = ids.order_id("guest", "rebuild")
OTHER = ids.order_id("guest", "other")
PAYMENT = (
    E.PAYMENT_INITIATED, E.PAYMENT_PROCESSING, E.PAYMENT_REQUIRES_ACTION, E.PAYMENT_FAILED,
    E.PAYMENT_PROCESSING, E.PAYMENT_COMPLETED,
)  # fmt: skip
ORDERS = (
    E.ORDER_PAYMENT_PENDING, E.ORDER_CREATED, E.ORDER_CANCELLED, E.PAYMENT_REFUND_INITIATED,
    E.ORDER_REFUNDED,
)  # fmt: skip
Record = tuple[str, Event]


def event(order_id: str, sequence: int, kind: EventType, **given: object) -> Record:
    """An event and its topic; payments and orders both write payment-events."""
    known = {
        "order_id": order_id, "payment_id": "pay", "user_id": "guest", "amount": 1000,
        "currency": "INR", "stripe_intent_id": "pi", "restaurant_id": "r", "attempt": sequence,
        "stripe_charge_id": "ch", "receipt_url": None, "failure_reason": "declined",
        "next_action": "3ds", "reason": "LATE", "by": "customer", **given,
    }  # fmt: skip
    fields = EVENTS[kind].data.__struct_fields__
    is_payments = kind.startswith("PAYMENT") and kind is not E.PAYMENT_REFUND_INITIATED
    made = Event(
        event_id=f"{order_id}{sequence}", event_type=kind, occurred_at=to_rfc3339(sequence * 1000),
        order_id=order_id, payment_id="pay", sequence=sequence, causation_id="c",
        correlation_id="c", producer="payments" if is_payments else "orders",
        data=EVENTS[kind].data(**{k: v for k, v in known.items() if k in fields}),
    )  # fmt: skip
    topic = topics.PAYMENT_EVENTS if kind.startswith("PAYMENT") else topics.ORDER_EVENTS
    return topic, made


def history(order_id: str, kinds: tuple[EventType, ...]) -> list[Record]:
    return [event(order_id, number, kind) for number, kind in enumerate(kinds, 1)]


def states(records: list[Record]) -> Iterator[tuple[tuple[str, str], Message]]:
    """Each state on the way, as a worker's table has held it; the last of a key is the latest."""
    live: dict[tuple[str, str], Message] = {}
    for topic, made in records:
        part, key = EVENT_FOLDS[made.producer], (made.producer, made.order_id)
        if topic == part.topic and made.event_type is not E.PAYMENT_REFUND_INITIATED:
            live[key] = part.evolve(live.get(key), made)
            yield key, live[key]


def live_after(records: list[Record]) -> dict[tuple[str, str], Digest]:
    return {key: rebuild.digest(state) for key, state in states(records)}


def read(rebuilt: Rebuild, records: list[Record]) -> None:
    for topic, made in records:
        rebuilt.add(topic, made, encode(made))


def faults(rebuilt: Rebuild) -> dict[tuple[str, str], Fault]:
    return {(d.service, d.order_id): d.fault for d in rebuilt.differences()}


ALL = history(ORDER, PAYMENT) + history(ORDER, ORDERS) + history(OTHER, PAYMENT)


@settings(deadline=None)
@given(data=st.data())
def test_orders_that_move_meanwhile_are_equal(data: st.DataObject) -> None:
    """Whatever was read before the digests were taken, and whatever comes after."""
    stored = data.draw(st.integers(0, len(ALL)))
    first = data.draw(st.integers(0, stored))
    again = data.draw(st.lists(st.sampled_from(ALL[:first]), max_size=5)) if first else []
    rebuilt = Rebuild()
    read(rebuilt, ALL[:first])
    read(rebuilt, again)
    rebuilt.compare_with(live_after(ALL[:stored]))
    assert (rebuilt.unsettled == 0) == (live_after(ALL[:first]) == live_after(ALL[:stored]))
    read(rebuilt, ALL[first:])
    read(rebuilt, again)
    assert rebuilt.unsettled == 0
    assert not faults(rebuilt)


def test_an_order_that_waits_for_an_event_of_the_other_topic_is_not_settled() -> None:
    rebuilt, records = Rebuild(), history(ORDER, ORDERS)
    wish = records[3]
    assert wish[0] == topics.PAYMENT_EVENTS
    read(rebuilt, [record for record in records if record is not wish])
    rebuilt.compare_with(live_after(records))
    assert rebuilt.unsettled == 1
    assert faults(rebuilt) == {("orders", ORDER): Fault.SEQUENCE_GAP}
    read(rebuilt, [wish])
    assert rebuilt.unsettled == 0
    assert not faults(rebuilt)


@pytest.mark.parametrize(
    ("forged", "fault"),
    [
        (event(ORDER, 6, E.PAYMENT_COMPLETED, amount=1), Fault.CONFLICT),
        (event(ORDER, 7, E.PAYMENT_CANCELLED, cancel_reason="x"), Fault.AHEAD),
        (event(ORDER, 8, E.PAYMENT_CANCELLED, cancel_reason="x"), Fault.AHEAD),
        (event(ORDER, 7, E.ORDER_CREATED), Fault.AHEAD),
        (event(ORDER, 999_999, E.PAYMENT_CANCELLED, cancel_reason="x"), Fault.CONFLICT),
        (event("order_forged", 1, E.PAYMENT_INITIATED), Fault.NOT_LIVE),
        (event("order_forged", 1, E.PAYMENT_COMPLETED), Fault.UNFOLDABLE),
    ],
)
def test_forged_events_are_found(forged: Record, fault: Fault) -> None:
    rebuilt = Rebuild()
    read(rebuilt, [*ALL, forged])
    rebuilt.compare_with(live_after(ALL))
    key = (forged[1].producer, forged[1].order_id)
    assert faults(rebuilt) == {key: fault}


def test_changed_states_are_found() -> None:
    live = live_after(ALL)
    key = ("payments", ORDER)
    last = structs.replace(dict(states(ALL))[key], captured=999)
    rebuilt = Rebuild()
    read(rebuilt, ALL)
    rebuilt.compare_with(live | {key: rebuild.digest(last)})
    (difference,) = rebuilt.differences()
    assert difference.fault is Fault.CONTENT
    assert difference.rebuilt == live[key] != difference.live


@pytest.mark.parametrize("lost", range(len(PAYMENT)))
def test_lost_events_are_found(lost: int) -> None:
    """Each of them: also one that leaves no trace in the state."""
    records = history(ORDER, PAYMENT)
    rebuilt = Rebuild()
    read(rebuilt, records[:lost] + records[lost + 1 :])
    rebuilt.compare_with(live_after(records))
    assert rebuilt.unsettled == 1
    expected = {0: Fault.UNFOLDABLE, len(PAYMENT) - 1: Fault.BEHIND}.get(lost, Fault.SEQUENCE_GAP)
    assert faults(rebuilt) == {("payments", ORDER): expected}


def test_orders_without_events_and_services_that_do_not_run() -> None:
    rebuilt = Rebuild()
    read(rebuilt, ALL)
    live = {key: digest for key, digest in live_after(ALL).items() if key[0] == "payments"}
    ghost = ("payments", "order_ghost")
    rebuilt.compare_with(live | {ghost: Digest(1, "")}, ["payments"])
    assert faults(rebuilt) == {ghost: Fault.NO_EVENTS}


def test_a_state_has_one_digest_however_it_came_about() -> None:
    found = [state for key, state in states(ALL) if key == ("payments", ORDER)]
    for state in found:
        assert rebuild.digest(decode(type(state), encode(state))) == rebuild.digest(state)
    digests = [rebuild.digest(state).sha256 for state in found]
    assert all(one != next_ for one, next_ in pairwise(digests))
