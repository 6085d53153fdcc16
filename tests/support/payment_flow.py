"""A small world around decide: Stripe's rules, Kafka's topics and the engine's dropping of duplicates."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import orjson

from agents.orders import orders_service
from agents.payments import payments_service
from agents.service import Service
from models import ids, topics
from models.commands import (
    COMMANDS,
    Address,
    Command,
    CommandType,
    ConfirmPayment,
    Contact,
    Item,
    ObservePayment,
    PlaceOrder,
    RefundPayment,
    ResultKind,
    StripeResult,
    WebhookReceived,
)
from models.events import EVENTS, Event, EventType, read_event
from models.graphs import PaymentStatus
from models.messages import Message, encode
from models.order import OrderRecord
from models.payment import Effect, EffectKind, PaymentRecord
from models.stripe_events import APPLIED_EVENT_TYPES
from models.stripe_facts import parse_dispute, parse_intent, parse_refund
from models.times import to_rfc3339
from models.transition import Decision, Input, InputIdentity, Outcome

ORDER = ids.order_id("guest", "world")
AMOUNT, CURRENCY = 2500, "INR"
PLACE = PlaceOrder(
    restaurant_id="r1", restaurant_name="R", amount=AMOUNT, currency=CURRENCY, user_id="guest",
    items=(Item(dish_id="d", name="D", quantity=1, unit_price=AMOUNT),),
    contact=Contact(name="n", email="e@example.com", phone="1"),
    address=Address(line1="l", city="c", postal_code="1"),
)  # fmt: skip


class Stripe:
    """One payment intent under Stripe's rules, with its idempotency keys and its events."""

    def __init__(self) -> None:
        self.intent: dict[str, Any] | None = None
        self.charges: list[dict[str, Any]] = []
        self.refunds: dict[str, dict[str, Any]] = {}
        self.disputes: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[str, dict[str, Any], int | None]] = []
        self.count = itertools.count(1)
        self.late: list[tuple[Effect, str]] = []

    @property
    def received(self) -> int:
        return self.intent["amount_received"] if self.intent else 0

    @property
    def refunded(self) -> int:
        return sum(r["amount"] for r in self.refunds.values() if r["status"] == "succeeded")

    def _emit(self, kind: str, thing: dict[str, Any], at_s: int | None = None) -> None:
        """at_s: of the event, in seconds since the epoch; None: when it is collected."""
        self.events.append((kind, orjson.loads(orjson.dumps(thing)), at_s))

    def call(self, effect: Effect, card: str) -> dict[str, Any]:
        """Carry a request out, or answer again for a key that was used."""
        key = effect.idempotency_key
        if key not in self.answers:
            do = {
                EffectKind.CREATE_INTENT: self._create,
                EffectKind.CONFIRM: self._confirm,
                EffectKind.CANCEL: self._cancel,
                EffectKind.REFUND: self._refund,
            }[effect.kind]
            self.answers[key] = orjson.loads(orjson.dumps(do(effect, card)))
        return self.answers[key]

    def _answer(self, kind: ResultKind, code: str | None = None, **objects: Any) -> dict[str, Any]:
        return {"result": kind, "code": code, **objects}

    def _create(self, effect: Effect, _: str) -> dict[str, Any]:
        self.intent = {
            "id": f"pi_{next(self.count)}", "status": "requires_payment_method",
            "amount": effect.body["amount"], "amount_received": 0, "currency": effect.body["currency"],
            "latest_charge": None, "last_payment_error": None, "next_action": None,
            "metadata": effect.body["metadata"], "cancellation_reason": None,
        }  # fmt: skip
        return self._answer(ResultKind.DONE, intent=self.intent)

    def _confirm(self, effect: Effect, card: str) -> dict[str, Any]:
        intent = self.intent
        assert intent
        if intent["status"] in {"succeeded", "canceled", "processing"}:
            return self._answer(
                ResultKind.CONFLICT, "payment_intent_unexpected_state", intent=intent
            )
        intent.update(last_payment_error=None, next_action=None)
        if card == "3ds":
            intent.update(status="requires_action", next_action={"type": "use_stripe_sdk"})
            self._emit("payment_intent.requires_action", intent)
        else:
            self._charge(card)
        declined = intent["status"] == "requires_payment_method"
        return self._answer(ResultKind.DECLINED if declined else ResultKind.DONE, intent=intent)

    def _charge(self, card: str) -> None:
        assert self.intent
        charge = {"id": f"ch_{next(self.count)}", "status": "pending"}
        self.charges.append(charge)
        self.intent["latest_charge"] = charge["id"]
        if card == "bank":
            self.intent["status"] = "processing"
            self._emit("payment_intent.processing", self.intent)
        else:
            self.settle(succeed=card == "ok")

    def settle(self, *, succeed: bool) -> None:
        """End the charge that is under way."""
        intent, charge = self.intent, self.charges[-1]
        assert intent
        charge["status"] = "succeeded" if succeed else "failed"
        if succeed:
            intent.update(status="succeeded", amount_received=intent["amount"], next_action=None)
            self._emit("payment_intent.succeeded", intent)
        else:
            error = {"code": "card_declined", "decline_code": "generic_decline", "message": "no",
                     "charge": charge["id"]}  # fmt: skip
            intent.update(
                status="requires_payment_method", last_payment_error=error, next_action=None
            )
            self._emit("payment_intent.payment_failed", intent)

    def authenticate(self, *, succeed: bool) -> None:
        """The customer ends 3-D Secure."""
        self._charge("ok" if succeed else "decline")

    def _cancel(self, _: Effect, __: str) -> dict[str, Any]:
        assert self.intent
        if self.intent["status"] in {"succeeded", "canceled", "processing"}:
            return self._answer(ResultKind.CONFLICT, "unexpected_state", intent=self.intent)
        self.intent.update(status="canceled", cancellation_reason="requested_by_customer")
        self._emit("payment_intent.canceled", self.intent)
        return self._answer(ResultKind.DONE, intent=self.intent)

    def _refund(self, effect: Effect, mode: str) -> dict[str, Any]:
        if any(not d["is_charge_refundable"] for d in self.disputes.values()):
            return self._answer(ResultKind.INVALID, "charge_disputed")
        refund = self.refund(effect.body["amount"], effect.body["metadata"]["refundId"], mode)
        if refund is None:
            return self._answer(ResultKind.INVALID, "charge_already_refunded")
        return self._answer(ResultKind.DONE, refund=refund)

    def refund(self, amount: int, refund_id: str | None, mode: str) -> dict[str, Any] | None:
        """Make a refund; None where Stripe refuses it."""
        taken = sum(r["amount"] for r in self.refunds.values() if r["status"] != "failed")
        gone = sum(
            d["amount"] for d in self.disputes.values()
            if d["status"] != "won" and not d["status"].startswith("warning")
        )  # fmt: skip
        if not self.intent or amount > self.received - taken - gone or amount <= 0:
            return None
        refund = {
            "id": f"re_{next(self.count)}", "amount": amount, "currency": self.intent["currency"],
            "status": "pending" if mode == "bank" else "succeeded", "payment_intent": self.intent["id"],
            "metadata": {"refundId": refund_id} if refund_id else {}, "reason": None,
            "failure_reason": None,
        }  # fmt: skip
        self.refunds[refund["id"]] = refund
        self._emit("refund.created", refund)
        return refund

    def end_refund(self, refund: dict[str, Any], *, succeed: bool) -> None:
        refund["status"] = "succeeded" if succeed else "failed"
        refund["failure_reason"] = None if succeed else "expired_or_canceled_card"
        self._emit("refund.updated" if succeed else "refund.failed", refund)

    def dispute(self, *, inquiry: bool = False) -> dict[str, Any]:
        """The bank takes the money, or only asks about it."""
        assert self.intent
        dispute = {
            "id": f"du_{next(self.count)}", "payment_intent": self.intent["id"],
            "status": "warning_needs_response" if inquiry else "needs_response",
            "charge": self.intent["latest_charge"], "amount": self.received - self.refunded,
            "currency": self.intent["currency"], "reason": "fraudulent",
            "is_charge_refundable": inquiry, "evidence_details": {"due_by": 1_800_000_000},
        }  # fmt: skip
        self.disputes[dispute["id"]] = dispute
        self._emit("charge.dispute.created", dispute)
        return dispute

    def escalate(self, dispute: dict[str, Any]) -> None:
        """An inquiry becomes a dispute, about what has not been refunded."""
        left = self.received - self.refunded
        if dispute["status"].startswith("warning") and left > 0:
            dispute.update(status="needs_response", is_charge_refundable=False, amount=left)
            self._emit("charge.dispute.updated", dispute)

    def close_dispute(self, dispute: dict[str, Any], *, won: bool) -> None:
        """The bank decides."""
        if dispute["status"].startswith("warning"):
            dispute["status"] = "warning_closed"
        else:
            dispute.update(status="won" if won else "lost", is_charge_refundable=won)
        self._emit("charge.dispute.closed", dispute)


@dataclass
class ServiceHarness:
    """One service's record of the order, with what the engine drops."""

    service: Service[Any]
    state: Any
    sequences: dict[str, int] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def apply(
        self, topic: str, identity: InputIdentity, message: Any, at_ms: int
    ) -> Decision | None:
        if identity.producer:
            place = f"{topic}/{identity.producer}"
            if identity.sequence <= self.sequences.get(place, 0):
                return None
            self.sequences[place] = identity.sequence
        elif (topic, identity.id) in self.seen:
            return None
        self.seen.add((topic, identity.id))
        record = Input(topic, ORDER, identity, message, at_ms, (("traceparent", b"00-1-2-01"),))
        decision: Decision = self.service.decide(self.state, record, {}.get)
        again: Decision = self.service.decide(self.state, record, {}.get)
        assert again.outputs == decision.outputs, "the same input twice gives the same outputs"
        assert again.state == decision.state
        self.state = self.service.load(
            orjson.loads(orjson.dumps(self.service.dump(decision.state)))
        )
        if decision.outcome:
            self.outcomes[identity.id] = decision.outcome
        return decision


class PaymentFlowHarness:
    """Two services, the topics between them, and Stripe."""

    def __init__(self) -> None:
        self.stripe = Stripe()
        self.now = 1_700_000_000_000
        self.number = itertools.count(1)
        self.payments = ServiceHarness(payments_service(), PaymentRecord())
        self.orders = ServiceHarness(orders_service(), OrderRecord())
        self.queues: dict[str, list[bytes]] = {
            t: [] for c in (self.payments, self.orders) for t in c.service.inputs
        }
        self.log: list[Event] = []
        self.audit: list[Event] = []
        self.webhooks: list[bytes] = []
        self.taken = 0
        self.created: dict[int, int] = {}

    # ---- what the outside does

    def command(self, kind: CommandType, data: Message, by: str = "customer:guest") -> str:
        number = next(self.number)
        command = Command(
            command_id=f"cmd_{number}", command_type=kind, issued_at=to_rfc3339(self.now), issued_by=by,
            order_id=ORDER, data=data,
        )  # fmt: skip
        self.queues[COMMANDS[kind].topic].append(encode(command))
        return command.command_id

    def pay(self) -> None:
        """Place the order and pay it, until nothing is under way."""
        self.command(CommandType.PLACE_ORDER, PLACE)
        self.settle_all()
        self.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
        self.settle_all()
        assert self.payments.state.payment.status is PaymentStatus.COMPLETED

    def refund(self, amount: int = AMOUNT) -> None:
        """An operator gives money back, until nothing is under way."""
        self.command(CommandType.REFUND_PAYMENT, RefundPayment(amount=amount), by="operator:olga")
        self.settle_all()

    def perform(self, effect: Effect, card: str, *, report: bool = True) -> None:
        """The effects service makes a pending write and reports it (or dies before it can)."""
        answer = self.stripe.call(effect, card)
        if report:
            self.report(effect, answer["result"], answer)

    def report(self, effect: Effect, kind: ResultKind, answer: dict[str, Any]) -> None:
        intent, refund = answer.get("intent"), answer.get("refund")
        result = StripeResult(
            effect_id=effect.effect_id, idempotency_key=effect.idempotency_key, result=kind,
            intent=parse_intent(intent) if intent else None, refund=parse_refund(refund) if refund else None,
            code=answer.get("code"),
        )  # fmt: skip
        self.command(CommandType.STRIPE_RESULT, result, by="system:effects")

    def look_up(self) -> None:
        """The reconciler asks Stripe about a payment that is PROCESSING."""
        if self.stripe.intent is None or self.state is None or self.state.payment is None:
            return
        observed = ObservePayment(
            attempt=self.state.payment.attempt, intent=parse_intent(self.stripe.intent),
            refunds=tuple(parse_refund(r) for r in self.stripe.refunds.values()),
        )  # fmt: skip
        self.command(CommandType.OBSERVE_PAYMENT, observed, by="system:reconciler")

    def collect_webhooks(self) -> None:
        """Turn Stripe's new events into webhooks that have not come yet."""
        for number, (kind, thing, at_s) in enumerate(self.stripe.events[self.taken :], self.taken):
            created = self.created.setdefault(number, self.now // 1000 if at_s is None else at_s)
            assert kind in APPLIED_EVENT_TYPES
            facts: dict[str, Any] = {}
            if kind.startswith("payment_intent"):
                facts["intent"] = parse_intent(thing)
            elif kind.startswith("refund"):
                facts["refund"] = parse_refund(thing)
            else:
                facts["dispute"] = parse_dispute(thing)
            hook = WebhookReceived(
                stripe_event_id=f"evt_{number}", stripe_event_type=kind, order_id=ORDER,
                created=created, **facts,
            )  # fmt: skip
            self.webhooks.append(encode(hook))
        self.taken = len(self.stripe.events)

    def list_events(self) -> None:
        """The reconciliation goes through Stripe's list: what was lost comes all the same."""
        self.taken = 0
        self.collect_webhooks()

    # ---- Kafka and the engine

    @property
    def state(self) -> PaymentRecord | None:
        return self.payments.state

    def status(self) -> PaymentStatus:
        assert self.state
        assert self.state.payment
        return self.state.payment.status

    @property
    def effects(self) -> list[Effect]:
        return list(self.state.work.effects.values()) if self.state else []

    @property
    def confirm_in_flight(self) -> bool:
        return any(e.kind is EffectKind.CONFIRM for e in self.effects)

    def deliver(self, topic: str, *, again: bool = False) -> None:
        """Give the topic's next record to its reader; again: it is emitted once more, later."""
        value = self.queues[topic].pop(0)
        if again:
            self.queues[topic].append(value)
        self.now += 1007  # Stripe tells times in whole seconds
        cell = self.payments if topic in self.payments.service.inputs else self.orders
        identity, message = cell.service.parse(topic, ORDER.encode(), value)
        decision = cell.apply(topic, identity, message, self.now)
        for output in decision.outputs if decision else ():
            if output.topic in self.queues:
                self.queues[output.topic].append(output.value)
            if output.topic in {topics.PAYMENT_EVENTS, topics.ORDER_EVENTS}:
                self.log.append(read_event(ORDER.encode(), output.value))
            if output.topic == topics.ORDER_AUDIT:
                self.audit.append(read_event(ORDER.encode(), output.value))

    def deliver_all(self, topic: str) -> None:
        """Decide everything that waits in one topic."""
        while self.queues[topic]:
            self.deliver(topic)

    def deliver_webhooks(self) -> None:
        """Decide what Stripe has to tell, in order."""
        self.collect_webhooks()
        self.queues[topics.WEBHOOKS] += self.webhooks
        self.webhooks = []
        self.deliver_all(topics.WEBHOOKS)

    def settle_all(self) -> None:
        """Let everything that is under way come to its end, faults over."""
        for _ in range(200):
            self.collect_webhooks()
            self.queues[topics.WEBHOOKS] += self.webhooks
            self.webhooks = []
            busy = [topic for topic, queue in self.queues.items() if queue]
            if busy:
                self.deliver(busy[0])
            elif self.effects:
                self.perform(self.effects[0], "ok")
            elif self.stripe.intent and self.stripe.intent["status"] == "processing":
                self.stripe.settle(succeed=True)
            else:
                return
        raise AssertionError("does not come to rest")


def of_type(log: list[Event], *kinds: EventType) -> list[Event]:
    return [event for event in log if event.event_type in kinds]


def state_of(service: Service[Any], log: list[Event]) -> Any:
    """What a service that reads payment-events makes of those in the log."""
    harness = ServiceHarness(service, service.initial)
    for event in log:
        if topics.PAYMENT_EVENTS in EVENTS[event.event_type].topics:
            identity = InputIdentity(event.event_id, event.producer, event.sequence)
            harness.apply(topics.PAYMENT_EVENTS, identity, event, event.occurred_at_ms)
    return harness.state
