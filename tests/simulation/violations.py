"""Seeded violations: each makes the product, or what it stands on, break a promise; the checker must see it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from agents.decision import DecisionBuilder
from agents.orders.transitions import OrderDecisionBuilder
from app.notifications.notifier import Notifier
from app.reconciliation.missing_webhooks import MissingWebhooks
from app.stripe.gateway import StripeGateway
from app.stripe.reconciler import Reconciler
from app.timers import Timers
from models import graphs
from tables import fence
from tables.commit_batch import Batches
from tables.fenced_table import FencedTable
from tables.hosted_service import Committer
from tables.inbox import Inbox
from tables.partition_task import PartitionTask
from tables.processor import Processor
from tables.record import Record
from tables.table_index import TableIndex
from tests.simulation.consumer import CLUSTERS
from tests.simulation.database import Database, Undo
from tests.simulation.kafka import Cluster, Log, Producer
from tests.simulation.mail import Mail
from tests.simulation.runs import Change
from tests.simulation.world import World

EVERY = 7
"""What happens now and then happens each time that it has been so often."""


@dataclass(frozen=True, slots=True)
class Violation:
    """change: what is made worse. within: how many seeds it may take until it is seen.

    kinds: of the faults that it needs; none: as they come.
    """

    change: Change
    within: int
    kinds: frozenset[str]


VIOLATIONS: dict[str, Violation] = {}


def violation(
    *kinds: str, within: int = 20
) -> Callable[[Callable[[World], Any]], Callable[[World], Any]]:
    """Put one into the table, by its function's name."""

    def add(change: Callable[[World], Any]) -> Callable[[World], Any]:
        @contextmanager
        def worse(world: World) -> Iterator[None]:
            patches = change(world)
            for each in patches:
                each.start()
            try:
                yield
            finally:
                for each in patches:
                    each.stop()

        VIOLATIONS[change.__name__.replace("_", "-")] = Violation(worse, within, frozenset(kinds))
        return change

    return add


def _now_and_then(every: int = EVERY) -> Callable[[], bool]:
    count = itertools.count(1)
    return lambda: next(count) % every == 0


Patches = list[Any]


# -- the engine


@violation("stop", "cut off", "slow network")
def no_fence(_: World) -> Patches:
    """Each worker gets a producer of its own, which shuts nobody out."""

    async def make(*_: Any) -> tuple[Producer, int, int]:
        cluster = CLUSTERS[""]
        count = cluster.transactional.get("epochs", (0, 0))[1] + 1
        cluster.transactional["epochs"] = (0, count)
        return Producer(cluster, cluster.new_producer_id(), 0), count, 0

    return [patch.object(fence, "make_fenced_producer", make)]


@violation()
def output_lost(_: World) -> Patches:
    """Now and then an output does not leave."""
    append, is_due = Batches.append, _now_and_then(40)

    def lossy(self: Batches, item: Any) -> None:
        if self._is_compressed or not is_due():
            append(self, item)

    return [patch.object(Batches, "append", lossy)]


@violation()
def output_doubled_with_a_new_number(_: World) -> Patches:
    """Now and then an event is numbered as if another had come before it."""
    emit, is_due = DecisionBuilder.emit, _now_and_then(30)

    def gap(self: DecisionBuilder, *args: Any, **more: Any) -> Any:
        if is_due():
            self.sequence += 1
        return emit(self, *args, **more)

    return [patch.object(DecisionBuilder, "emit", gap)]


@violation()
def changelog_not_written(_: World) -> Patches:
    """Now and then a commit batch is in RocksDB alone."""
    append, is_due = PartitionTask._append_to_changelog, _now_and_then(20)

    async def skip(self: PartitionTask, rows: Any) -> int:
        return -1 if is_due() else await append(self, rows)

    return [patch.object(PartitionTask, "_append_to_changelog", skip)]


@violation("crash", "slow network")
def changelog_not_waited_for(_: World) -> Patches:
    """Outputs and answers leave before the changelog has what they follow from."""

    async def hurry(self: PartitionTask, rows: Any) -> int:
        batches = Batches(self.fence.producer, is_compressed=True)
        for key, value in rows:
            batches.append((self._context.changelog, key, value, ()))
        sending = asyncio.ensure_future(batches.send(self._partition_of))
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)
        return -1

    return [patch.object(PartitionTask, "_append_to_changelog", hurry)]


@violation("crash")
def outbox_forgotten(_: World) -> Patches:
    """What a task before may not have sent is not sent again."""

    def forget(self: Record, *_: Any) -> list[Any]:
        self.inherited_outbox = []
        return []

    return [patch.object(Record, "take_over_outbox", forget)]


@violation()
def repetitions_decided(_: World) -> Patches:
    """What comes a second time is decided a second time."""
    return [patch.object(Processor, "_is_duplicate", lambda *_, **__: False)]


@violation()
def offset_committed_early(_: World) -> Patches:
    """The group's offset is that of what was fetched."""

    async def early(self: Committer) -> None:
        positions = {
            tp: (offset, "") for tp, offset in self._services.next_offsets().items() if offset
        }
        if await self._services.consumer.commit_positions(positions):
            self.committed.update(positions)

    return [patch.object(Committer, "commit", early)]


@violation("streams lose")
def input_stepped_over(_: World) -> Patches:
    """A delivery gap is not noticed."""
    put = Inbox.put

    def careless(self: Inbox, topic: str, inputs: Any) -> bool:
        self.next_offsets[topic] = max(self.next_offsets[topic], inputs[0].offset)
        return put(self, topic, inputs)

    return [patch.object(Inbox, "put", careless)]


@violation("wipe", "crash")
def recovery_cut_off(_: World) -> Patches:
    """Now and then a record of a changelog is left out when the table is read from it."""
    write, is_due = FencedTable._write, _now_and_then(5)

    def lossy(self: FencedTable, tp: Any, due: int, records: Any, next_offset: int) -> None:
        kept = list(records)
        kept = kept[:-2] if is_due() and len(kept) > 2 else kept
        write(self, tp, due, kept, next_offset)

    return [patch.object(FencedTable, "_write", lossy)]


@violation()
def index_keeps_what_is_gone(_: World) -> Patches:
    """Entries of earlier states stay."""
    add_changes = TableIndex.add_changes

    def keep(self: TableIndex, batch: Any, *rest: Any) -> None:
        with patch.object(batch, "delete", lambda _: None):
            add_changes(self, batch, *rest)

    return [patch.object(TableIndex, "add_changes", keep)]


@violation()
def state_goes_back(_: World) -> Patches:
    """Now and then a record is written with an older version."""
    dump, is_due = Record.dump, _now_and_then(30)

    def older(self: Record, *args: Any) -> bytes:
        if is_due() and self.version > 2:
            self.version -= 2
        return dump(self, *args)

    return [patch.object(Record, "dump", older)]


# -- what Kafka and the disk promise


@violation("compaction")
def compaction_loses_a_key(_: World) -> Patches:
    """Kafka removes the last record of a key."""
    compact = Log.compact

    def lossy(self: Log, before: int) -> None:
        compact(self, before)
        gone = next((r.offset for r in self.records if r.offset < before), None)
        self.records = [r for r in self.records if r.offset != gone]
        self.offsets = [r.offset for r in self.records]

    return [patch.object(Log, "compact", lossy)]


@violation("power cut")
def write_batches_torn(_: World) -> Patches:
    """A power cut leaves half of a write batch."""

    def torn(self: Database, batches: int) -> None:
        for _ in range(min(batches, len(self._undo))):
            undo: Undo = self._undo.pop()
            for key, value in list(reversed(undo))[1::2]:
                self._set(key, value)

    return [patch.object(Database, "lose", torn)]


# -- effects


@violation()
def refund_with_a_new_key(_: World) -> Patches:
    """Each try of a refund is another refund for Stripe."""
    refund, count = StripeGateway.refund, itertools.count()

    async def again(self: StripeGateway, body: Any, key: str) -> Any:
        small = {**body, "amount": max(1, int(body["amount"]) // 2)}
        await refund(self, small, f"{key}/{next(count)}")
        return await refund(self, small, f"{key}/{next(count)}")

    return [patch.object(StripeGateway, "refund", again)]


@violation("stripe times out after", "stripe answers 500 after")
def intent_with_a_new_key(_: World) -> Patches:
    """Each try of opening a payment opens another one."""
    create, count = StripeGateway.create_intent, itertools.count()

    async def again(self: StripeGateway, body: Any, key: str) -> Any:
        return await create(self, body, f"{key}/{next(count)}")

    return [patch.object(StripeGateway, "create_intent", again)]


@violation()
def wrong_amount_charged(_: World) -> Patches:
    """A payment is opened for a little more than the order costs."""
    create = StripeGateway.create_intent

    async def more(self: StripeGateway, body: Any, key: str) -> Any:
        return await create(self, {**body, "amount": int(body["amount"]) + 1}, key)

    return [patch.object(StripeGateway, "create_intent", more)]


@violation("webhooks lost", "stripe times out after", within=60)
def reconciler_asleep(_: World) -> Patches:
    """Nobody asks Stripe about what no webhook told, and nobody looks for lost webhooks."""

    async def nothing(*_: Any) -> None:
        await asyncio.sleep(0)

    async def none(*_: Any) -> tuple[int, list[Any]]:
        return 0, []

    return [
        patch.object(Reconciler, "_ask", nothing),
        patch.object(MissingWebhooks, "_missing", none),
    ]


@violation("stop")
def timers_asleep(_: World) -> Patches:
    """Nobody asks whether a deadline has passed."""

    async def nothing(*_: Any) -> None:
        await asyncio.sleep(0)

    return [patch.object(Timers, "_ask", nothing)]


# -- mail


@violation("mail unanswered")
def mail_as_if_for_the_first_time(_: World) -> Patches:
    """A second try does not say that the first may have succeeded."""
    send = Mail.send

    async def forget(self: Mail, letter: Any, *, maybe_sent: bool) -> Any:  # noqa: ARG001
        return await send(self, letter, maybe_sent=False)

    return [patch.object(Mail, "send", forget)]


@violation()
def mail_without_sending(_: World) -> Patches:
    """Now and then a message counts as sent that was not."""
    send, is_due = Notifier._send, _now_and_then()

    async def skip(self: Notifier, attempt: Any) -> Any:
        return None if is_due() else await send(self, attempt)

    return [patch.object(Notifier, "_send", skip)]


@violation()
def mail_with_a_new_name(_: World) -> Patches:
    """The same event is told by messages of different names."""
    send, count = Mail.send, itertools.count()

    async def doubled(self: Mail, letter: Any, *, maybe_sent: bool) -> Any:
        await send(self, replace(letter, notification_id=f"n{next(count)}"), maybe_sent=maybe_sent)
        return await send(self, letter, maybe_sent=maybe_sent)

    return [patch.object(Mail, "send", doubled)]


# -- services


@violation()
def assigned_twice(_: World) -> Patches:
    """A delivery that has a courier may get another one."""
    status = graphs.DeliveryStatus
    allowed = graphs.DELIVERY_GRAPH[status.ASSIGNED] | {status.ASSIGNED}
    return [patch.dict(graphs.DELIVERY_GRAPH, {status.ASSIGNED: allowed})]


@violation()
def cancelled_money_kept(_: World) -> Patches:
    """A cancelled order's money is not asked back."""
    return [patch.object(OrderDecisionBuilder, "refund", lambda *_: None)]


@violation("stop", "cut off", "slow network")
def zombies_not_refused(_: World) -> Patches:
    """Kafka takes records of an older producer epoch."""
    append = Cluster.append

    def careless(
        self: Cluster, tp: Any, producer: tuple[int, int], number: int, records: Any
    ) -> int:
        log = self.log(tp)
        if producer[1] < log.epochs.get(producer[0], -1):
            if not self.is_up(tp.partition):
                return append(self, tp, producer, number, records)
            first = log.append(self.now_ms(), records)
            self.on_append(tp, first, len(records))
            return first
        return append(self, tp, producer, number, records)

    return [patch.object(Cluster, "append", careless)]
