"""Each event of Stripe's, by the table: applied, noted in the audit, or counted alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
import pytest

from app.audit import publish_audit_event
from app.stripe.event_intake import EventIntake
from models import ids
from models.errors import KafkaUnavailableError
from models.events import NO_ORDER, Event, EventType, read_event_of
from models.sender import Appended, Headers
from models.topics import ORDER_AUDIT
from tests.support.http_api import NO_STRIPE
from tests.support.senders import NoSender
from tests.support.webhooks import event

ORDER = ids.order_id("guest", "key")


class AuditSender(NoSender):
    """Keeps what is put into the audit."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_away = False

    async def put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> Appended:
        if self.is_away:
            raise KafkaUnavailableError("away")
        self.events.append(read_event_of(topic, key or b"", value or b""))
        assert topic == ORDER_AUDIT
        return Appended(0, len(self.events), None)


def intake_with(sender: NoSender) -> EventIntake:
    return EventIntake(NO_STRIPE, partial(publish_audit_event, sender, EventType.WEBHOOK_RECEIVED))


def told(kind: str, order_id: str | None = ORDER, **thing: Any) -> dict[str, Any]:
    made: dict[str, Any] = orjson.loads(event(order_id, type=kind))
    made["data"]["object"].update(thing)
    return made


async def test_an_applied_event_gives_its_facts() -> None:
    intake = intake_with(AuditSender())
    facts = await intake.take(told("payment_intent.payment_failed"))
    assert facts
    assert facts.order_id == ORDER
    assert intake.counts == {("payment_intent.payment_failed", "applied"): 1}


async def test_a_failed_payout_is_in_the_audit_and_applied_to_no_payment() -> None:
    sender = AuditSender()
    intake = intake_with(sender)
    assert await intake.take(told("payout.failed", None)) is None
    (noted,) = sender.events
    assert (noted.event_type, noted.order_id) == (EventType.WEBHOOK_RECEIVED, NO_ORDER)
    assert noted.data.stripe_event_type == "payout.failed"
    assert "bank details" in noted.data.effect
    assert await intake.take(told("payout.failed", None)) is None
    assert len({each.event_id for each in sender.events}) == 1, "repeated, it is the same record"
    assert intake.counts == {("payout.failed", "noted"): 2}


async def test_what_is_noted_of_a_payment_names_its_order_and_anothers_is_not_noted() -> None:
    sender, kind = AuditSender(), "payment_intent.amount_capturable_updated"
    intake = intake_with(sender)
    assert await intake.take(told(kind)) is None
    (noted,) = sender.events
    assert (noted.order_id, noted.data.stripe_event_type) == (ORDER, kind)
    theirs = told(kind, None, metadata={"orderId": ORDER, "app": "another"})
    for event_of_others in (told(kind, None), theirs):
        assert await intake.take(event_of_others) is None
    assert len(sender.events) == 1
    assert intake.counts == {(kind, "noted"): 1, (kind, "no_order"): 2}


async def test_what_can_not_be_noted_is_not_taken() -> None:
    """So Stripe delivers it again."""
    sender = AuditSender()
    sender.is_away = True
    intake = intake_with(sender)
    with pytest.raises(KafkaUnavailableError):
        await intake.take(told("payout.failed", None))
    assert not intake.counts


@pytest.mark.parametrize(
    ("kind", "order_id", "counted"),
    [
        ("charge.updated", ORDER, ("charge.updated", "ignored")),
        ("customer.created", ORDER, ("customer.created", "ignored")),
        ("refund.reversed", ORDER, ("other", "undecided")),
        ("x" * 255, ORDER, ("other", "undecided")),
        ("payment_intent.canceled", None, ("payment_intent.canceled", "no_order")),
    ],
)
async def test_other_events_are_counted(
    kind: str, order_id: str | None, counted: tuple[str, str]
) -> None:
    intake = intake_with(NoSender())
    assert await intake.take(told(kind, order_id)) is None
    assert intake.counts == {counted: 1}
    metric, _ = intake.collect()
    assert metric.name == "tiffin_stripe_events"
    assert [(sample.labels, sample.value) for sample in metric.samples] == [
        ({"type": counted[0], "result": counted[1]}, 1)
    ]


async def test_a_refund_of_an_endpoint_with_an_old_api_version_is_applied() -> None:
    """Before 2024-10-28 no refund.updated was sent for a charge's refund, so a late failure came so alone."""
    refund = {
        "id": "re_1", "object": "refund", "amount": 100, "currency": "inr", "status": "failed",
        "payment_intent": "pi_1", "failure_reason": "lost_or_stolen_card",
    }  # fmt: skip
    facts = await intake_with(NoSender()).take(told("charge.refund.updated", **refund))
    assert facts
    assert facts.refund
    assert (facts.refund.status, facts.refund.stripe_refund_id) == ("failed", "re_1")


async def test_a_webhook_tells_how_late_it_came() -> None:
    sender = NoSender()
    intake = EventIntake(
        NO_STRIPE, partial(publish_audit_event, sender, EventType.WEBHOOK_RECEIVED),
        now_s=lambda: 1_790_000_090.5,
    )  # fmt: skip
    event = told("customer.created", ORDER) | {"created": 1_790_000_000}
    await intake.take(event)
    await intake.take_webhook(event)
    _, delay = intake.collect()
    sums = [each for each in delay.samples if each.name == "tiffin_webhook_delay_seconds_sum"]
    assert [(each.labels, each.value) for each in sums] == [({"type": "customer.created"}, 90.5)]
