"""The real services over tables in memory: what web/ sees of Kafka, the engine and Stripe, at once."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from yarl import URL

from agents.deliveries import DELIVERIES
from agents.orders import orders_service
from agents.payments import payments_service
from agents.timeline import timeline_service
from models.commands import COMMANDS, Command, CommandType, StripeResult, WebhookReceived
from models.errors import KafkaUnavailableError
from models.levels import LATEST, LevelChange, LevelHistory
from models.messages import encode
from models.payment import Effect, EffectKind
from models.stripe_facts import parse_intent, parse_refund
from models.topics import WEBHOOKS
from models.transition import IndexData, Input, Output, TransitionService
from tables import (
    OPEN,
    Listener,
    NotOwnerError,
    NotReadyError,
    Quarantine,
    StoredOutcome,
    StoredRecord,
)
from tests.support.payment_flow import Stripe
from tests.support.senders import NoSender

CARDS = {"pm_card_visa": "ok", "pm_card_chargeDeclined": "decline", "pm_card_threeDSecure": "3ds"}


@dataclass
class InMemoryTable:
    """What `tables.StateTable` shows, without Kafka or RocksDB."""

    service: TransitionService
    name: str = ""
    is_ours: bool = True
    owner: URL | None = None
    records: dict[str, StoredRecord] = field(default_factory=dict)
    stored_rows: dict[str, bytes] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    partitions: int = 1
    listeners: list[Listener] = field(default_factory=list)
    levels: Callable[[], LevelHistory] = lambda: LevelHistory((LevelChange(LATEST, 0),))

    def add_listener(self, listener: Listener) -> None:
        self.listeners.append(listener)

    def partition_of(self, _: str) -> int:
        return 0

    def keys(self, partition: int, prefix: str, limit: int = 500) -> list[str]:
        if not self.is_ours:
            raise NotOwnerError(self.name)
        stored = sorted([*self.stored_rows, *self.records])
        return [key for key in stored if key.startswith(prefix)][:limit]

    def entries(self, partition: int, prefix: str, start: str = "") -> Iterator[str]:
        if not self.is_ours:
            raise NotOwnerError(self.name)
        found = [
            f"{entry}/{record.key}"
            for record in self.records.values()
            for entry in self.indexed(record).entries
        ]
        tails = (entry.removeprefix(prefix) for entry in sorted(found) if entry.startswith(prefix))
        return (tail for tail in tails if tail >= start)

    def sums(self, partition: int) -> Counter[str]:
        if not self.is_ours:
            raise NotOwnerError(self.name)
        return sum((Counter(self.indexed(each).sums) for each in self.records.values()), Counter())

    def indexed(self, record: StoredRecord) -> IndexData:
        indexed = self.service.index(record.state)
        has_ended = record.quarantine is None and self.service.has_ended(record.state)
        ended = indexed.once_ended if has_ended else (OPEN,)
        return IndexData((*indexed.entries, *ended), (), indexed.sums)

    def owner_of_partition(self, _: int) -> URL | None:
        return self.owner

    def owned_partitions(self) -> tuple[int, ...]:
        return self.open_partitions()

    def open_partitions(self) -> tuple[int, ...]:
        return (0,) if self.is_ours else ()

    def scan(self, partition: int, after: str = "", limit: int = 500) -> list[StoredRecord]:
        if not self.is_ours:
            raise NotOwnerError(self.name)
        return [record for key, record in sorted(self.records.items()) if key > after][:limit]

    def items(
        self, partition: int, prefix: str = "", after: str = "", limit: int = 500
    ) -> list[tuple[str, StoredRecord | bytes | None]]:
        if not self.is_ours:
            raise NotOwnerError(self.name)
        stored = {**self.records, **self.stored_rows}
        found = sorted(key for key in stored if key.startswith(prefix) and key > after)
        return [(key, stored[key]) for key in found[:limit]]

    def owner_of(self, _: str) -> URL | None:
        return self.owner

    def owns(self, _: str) -> bool:
        return self.is_ours

    def put(self, key: str, state: Any) -> StoredRecord:
        """Store a state, and give it as listeners get it."""
        self.records[key] = StoredRecord(
            key=key, version=1, state=state, sequences={}, outcomes={}, quarantine=None
        )
        return self.records[key]

    def get(self, key: str) -> StoredRecord | None:
        if not self.is_ours:
            raise NotOwnerError(self.name)
        return self.records.get(key)

    def rows(self, prefix: str, partition: int | None = None) -> list[tuple[str, bytes]]:
        return sorted((k, v) for k, v in self.stored_rows.items() if k.startswith(prefix))

    async def wait(
        self, key: str, predicate: Callable[[StoredRecord | None], bool], timeout_s: float
    ) -> StoredRecord | None:
        async with asyncio.timeout(timeout_s), self.changed:
            while not predicate(self.get(key)):
                await self.changed.wait()
            return self.get(key)


@dataclass
class PartitionedTable(InMemoryTable):
    """Three partitions; `mine` are this worker's, `owners` the others'; opening: of mine, not yet."""

    partitions: int = 3
    mine: tuple[int, ...] = (0, 1, 2)
    opening: tuple[int, ...] = ()
    owners: dict[int, URL] = field(default_factory=dict)

    def open_partitions(self) -> tuple[int, ...]:
        return self.mine

    def owner_of_partition(self, partition: int) -> URL | None:
        return self.owners.get(partition)

    def rows(self, prefix: str, partition: int | None = None) -> list[tuple[str, bytes]]:
        if partition is not None and partition not in self.mine:
            raise NotOwnerError(self.name)
        if partition in self.opening:
            raise NotReadyError(self.name)
        return super().rows(prefix, partition)


class InMemoryBackend(NoSender):
    """A sender whose commands are decided at once, and a Stripe that answers when it may.

    stripe_answers: cleared, effects stay pending. kafka_is_up: cleared, sends raise. commands,
    webhooks: what was sent. loses_commands: taken by Kafka, not decided yet.
    """

    def __init__(self) -> None:
        self.tables = {
            s.name: InMemoryTable(s, s.name)
            for s in (orders_service(), payments_service(), DELIVERIES, timeline_service())
        }
        self.stripes: defaultdict[str, Stripe] = defaultdict(Stripe)
        self.stripe_answers = asyncio.Event()
        self.stripe_answers.set()
        self.kafka_is_up = True
        self.loses_commands = False
        self.refuses_to_open = False
        self.commands: list[Command] = []
        self.webhooks: list[WebhookReceived] = []
        self.now_ms = 1_700_000_000_000
        self.seen: set[tuple[str, str, str]] = set()
        self.performed: set[str] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def send(self, command: Command) -> None:
        if not self.kafka_is_up:
            raise KafkaUnavailableError
        self.commands.append(command)
        if not self.loses_commands:
            await self.feed(COMMANDS[command.command_type].topic, command.order_id, encode(command))

    async def send_webhook(self, webhook: WebhookReceived) -> None:
        if not self.kafka_is_up:
            raise KafkaUnavailableError
        self.webhooks.append(webhook)
        await self.feed(WEBHOOKS, webhook.order_id, encode(webhook))

    async def client_secret(self, intent_id: str) -> str:
        return f"{intent_id}_secret_of_stripe"

    async def feed(self, topic: str, key: str, value: bytes) -> None:
        """One record, and all that follows from it."""
        queue = deque([Output(topic, key, value)])
        while queue:
            record = queue.popleft()
            for table in self.tables.values():
                if record.topic in table.service.inputs:
                    queue.extend(self._decide(table, record))
        for table in self.tables.values():
            async with table.changed:
                table.changed.notify_all()
        self._start_effects(key)

    def _decide(self, table: InMemoryTable, record: Output) -> list[Output]:
        service, key = table.service, record.key
        header, message = service.parse(record.topic, key.encode(), record.value)
        old = table.records.get(key)
        sequences = dict(old.sequences) if old else {}
        place = f"{record.topic}/{header.producer}"
        if header.producer:
            if header.sequence <= sequences.get(place, 0):
                return []
            sequences[place] = header.sequence
        elif (table.name, record.topic, header.id) in self.seen:
            return []
        self.seen.add((table.name, record.topic, header.id))
        self.now_ms += 5
        given = Input(record.topic, key, header, message, self.now_ms, record.headers)
        state = old.state if old else service.load(None)
        decision = service.decide(state, given, table.stored_rows.get)
        outcomes = dict(old.outcomes) if old else {}
        if decision.outcome:
            outcomes[header.id] = StoredOutcome(decision.outcome, header.body_hash, self.now_ms)
        table.stored_rows.update(decision.rows)
        raw = orjson.dumps(service.dump(decision.state))
        table.records[key] = StoredRecord(
            key=key, version=(old.version if old else 0) + 1, state=service.load(orjson.loads(raw)),
            sequences=sequences, outcomes=outcomes, quarantine=old.quarantine if old else None,
        )  # fmt: skip
        for listener in table.listeners:
            listener.updated(0, key, table.records[key])
        return list(decision.outputs)

    def _start_effects(self, key: str) -> None:
        record = self.tables["payments"].records.get(key)
        for effect in record.state.work.effects.values() if record else ():
            if effect.idempotency_key not in self.performed:
                self.performed.add(effect.idempotency_key)
                task = asyncio.create_task(self.perform(key, effect))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def perform(self, key: str, effect: Effect) -> None:
        await self.stripe_answers.wait()
        answer: dict[str, Any] = {"result": "INVALID", "code": "amount_too_small"}
        if not (self.refuses_to_open and effect.kind is EffectKind.CREATE_INTENT):
            card = CARDS.get(effect.body.get("payment_method", ""), "ok")
            answer = self.stripes[key].call(effect, card)
        intent, refund = answer.get("intent"), answer.get("refund")
        result = StripeResult(
            effect_id=effect.effect_id, idempotency_key=effect.idempotency_key,
            result=answer["result"], code=answer.get("code"),
            intent=parse_intent(intent) if intent else None,
            refund=parse_refund(refund) if refund else None,
        )  # fmt: skip
        command = Command(
            order_id=key, command_id=f"result:{effect.idempotency_key}", data=result,
            command_type=CommandType.STRIPE_RESULT, issued_at="2026-01-01T00:00:00.000Z",
            issued_by="system:effects",
        )  # fmt: skip
        await self.feed(COMMANDS[command.command_type].topic, key, encode(command))

    def quarantine(self, service: str, key: str) -> None:
        table = self.tables[service]
        old = table.records[key]
        table.records[key] = StoredRecord(
            key=key, version=old.version, state=old.state, sequences=old.sequences,
            outcomes=old.outcomes, quarantine=Quarantine("ValueError", 0, "x", 1),
        )  # fmt: skip
