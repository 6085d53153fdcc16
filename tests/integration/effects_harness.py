"""Payments' real decide, its records in memory, and Stripe's stand-in: effects without Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from agents.payments import payments_service
from agents.payments.transitions import PaymentPolicy
from agents.service import Service
from app.stripe.effects import EffectsService
from app.stripe.gateway import StripeGateway
from app.task_runner import Backoff
from models import ids, topics
from models.commands import (
    Command,
    CommandType,
    InitiatePayment,
    ResultKind,
    WebhookReceived,
)
from models.errors import KafkaUnavailableError
from models.events import Event, EventType, read_event
from models.graphs import PaymentStatus
from models.messages import Message, encode
from models.payment import Payment, PaymentRecord
from models.stripe_facts import parse_dispute, parse_intent
from models.times import to_rfc3339
from models.transition import Input, Outcome
from sandbox.processes import MAX_WAIT_S
from sandbox.stripe import StripeSandbox
from tables import Listener, StoredRecord
from tests.support.senders import NoSender

ORDER = ids.order_id("guest", "world")
AMOUNT = 250_000


@dataclass
class EffectsHarness(NoSender):
    """One order's payment. Its sender takes the place of Kafka and the engine.

    ahead_s: how far the services' clock is ahead of the machine's. kafka_fails: how many of the
    next sends fail.
    """

    stripe: StripeSandbox
    service: Service[PaymentRecord] = field(
        default_factory=lambda: payments_service(PaymentPolicy(("card", "us_bank_account")))
    )
    record: PaymentRecord | None = None
    version: int = 0
    listeners: list[Listener] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    outcomes: dict[str, Outcome | None] = field(default_factory=dict)
    ahead_s: float = 0.0
    kafka_fails: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def now_s(self) -> float:
        return time.time() + self.ahead_s

    # -- what the effects service and the reconciler see

    async def send(self, command: Command) -> None:
        """As a command sender."""
        await asyncio.sleep(0)
        if self.kafka_fails:
            self.kafka_fails -= 1
            raise KafkaUnavailableError("Kafka is away")
        self.commands.append(command)
        self.take(topics.PAYMENT_COMMANDS, encode(command))

    def take(self, topic: str, value: bytes) -> None:
        """Decide one record as the engine would, and tell the listeners once it is stored."""
        key = ORDER.encode()
        header, message = self.service.parse(topic, key, value)
        if header.id in self.seen:
            return
        self.seen.add(header.id)
        record = Input(topic, ORDER, header, message, int(self.now_s() * 1000))
        decision = self.service.decide(
            self.record or self.service.load(None), record, lambda _: None
        )
        self.record = self.service.load(
            orjson.loads(orjson.dumps(self.service.dump(decision.state)))
        )
        self.version += 1
        self.outcomes[header.id] = decision.outcome
        for output in decision.outputs:
            if output.topic == topics.PAYMENT_EVENTS:
                self.events.append(read_event(key, output.value))
        for listener in self.listeners:
            self.tell(listener)
        self.changed.set()

    def tell(self, listener: Listener) -> None:
        """The record as it is stored, as after a recovery."""
        if self.record is not None:
            stored = StoredRecord(ORDER, self.version, self.record, {}, {}, None)
            listener.updated(0, ORDER, stored)

    # -- what customers do

    async def order(self, command_type: CommandType, data: Message) -> Outcome | None:
        """Send a customer's command."""
        command = Command(
            order_id=ORDER,
            command_id=ids.command_id(ORDER, command_type, len(self.commands)),
            command_type=command_type,
            issued_at=to_rfc3339(round(self.now_s() * 1000)),
            issued_by="customer:guest",
            data=data,
        )
        await self.send(command)
        return self.outcomes[command.command_id]

    async def open(self, currency: str = "INR") -> Payment:
        """Initiate and wait for Stripe's payment intent."""
        data = InitiatePayment(amount=AMOUNT, currency=currency, user_id="guest")
        await self.order(CommandType.INITIATE_PAYMENT, data)
        await self.until(lambda: self.payment is not None)
        return self.known_payment

    @property
    def payment(self) -> Payment | None:
        return self.record.payment if self.record else None

    @property
    def known_payment(self) -> Payment:
        assert self.payment is not None
        return self.payment

    async def settle(self, **body: Any) -> None:
        """Let the bank decide about a payment or a refund that is under way."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{self.stripe.base_url}/_control/settle", json=body)
        assert answer.is_success, answer.text

    async def authenticate(self, intent_id: str, outcome: str) -> None:
        """Let the customer end 3-D Secure: "succeed" or "fail"."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(
                f"{self.stripe.base_url}/_control/3ds/{intent_id}", json={"outcome": outcome}
            )
        assert answer.is_success, answer.text

    def webhook(self, kind: str, intent: dict[str, Any]) -> None:
        """Stripe's webhook about the payment intent comes."""
        received = WebhookReceived(
            order_id=ORDER, stripe_event_id=f"evt_{len(self.seen)}", stripe_event_type=kind,
            created=round(self.now_s()), intent=parse_intent(intent),
        )  # fmt: skip
        self.take(topics.WEBHOOKS, encode(received))

    def dispute_webhook(self, kind: str, dispute: dict[str, Any], created_s: int) -> None:
        """Stripe's webhook about a dispute comes; created_s: since the epoch, by Stripe's clock."""
        received = WebhookReceived(
            order_id=ORDER, stripe_event_id=f"evt_{len(self.seen)}", stripe_event_type=kind,
            created=created_s, dispute=parse_dispute(dispute, is_closed=kind.endswith(".closed")),
        )  # fmt: skip
        self.take(topics.WEBHOOKS, encode(received))

    # -- what tests look at

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something that a decision brings about is true."""
        async with asyncio.timeout(MAX_WAIT_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def until_status(self, *statuses: PaymentStatus) -> None:
        await self.until(lambda: self.payment is not None and self.payment.status in statuses)

    async def poll(self, condition: Callable[[], Any]) -> None:
        """Wait until something that no decision announces is true."""
        async with asyncio.timeout(MAX_WAIT_S):
            while not condition():  # noqa: ASYNC110 - nobody would set an event
                await asyncio.sleep(0.01)

    def types(self) -> list[EventType]:
        return [event.event_type for event in self.events]

    def results(self) -> list[tuple[str, ResultKind]]:
        """Idempotency key and outcome of every effect that was reported."""
        return [
            (command.data.idempotency_key, command.data.result)
            for command in self.commands
            if command.command_type is CommandType.STRIPE_RESULT
        ]

    def keys(self, path: str) -> list[str]:
        """Idempotency keys of the requests whose path ends so."""
        return [
            entry["idempotency_key"]
            for entry in self.stripe.api.log
            if entry["method"] == "POST" and entry["path"].endswith(path)
        ]

    def effects(self, gateway: StripeGateway, **options: Any) -> EffectsService:
        """An effects service as of a worker that starts now: it is told of the stored record."""
        options = {"concurrency": 16, "confirm_deadline_s": 90.0, **options}
        service = EffectsService(
            gateway, self, backoff=Backoff(0.01, 0.05), now_s=self.now_s, **options
        )
        self.listeners.append(service)
        self.tell(service)
        return service

    async def crash(self, service: EffectsService) -> None:
        """The worker is gone; what Stripe does with its request is Stripe's."""
        self.listeners.remove(service)
        await service.stop()
