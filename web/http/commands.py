"""A POST as a command: sent once for an Idempotency-Key, answered from the outcome that is stored.

It runs at the worker that owns the order. The outcome, with the hash of the body, stays in the order's
record for 24 hours, so a repetition is recognised wherever the partition is by then; the command's id stays
for ever, so a later one is recognised too, and refused.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pydantic import BaseModel

from models import ids
from models.commands import Command, CommandType
from models.messages import Message
from models.times import to_rfc3339
from models.transition import Outcome
from tables import NotOwnerError, NotReadyError, StoredRecord
from web.http import consistency
from web.http.admission import WorkClass
from web.http.answers import Accepted
from web.http.bodies import Body, body_hash
from web.http.context import ORDERS, Context
from web.http.problems import ProblemError, refused
from web.http.tokens import Identity

REBALANCING_CODES: Final = frozenset({"OWNER_UNKNOWN", "OWNER_UNREACHABLE", "NOT_READY"})
"""Codes of what passes when another worker has taken over the order's partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """One write that a request asks for.

    service: whose table holds the outcome. action, key: with the order they make the command's id.
    is_key_given: by the client, who may have two requests of it under way; else it was made of the request.
    answer: what to answer once it is accepted; may wait for more and raise OutcomePendingError.
    accepted: what to answer when the bound passes first, by default that with the order's id.
    work: what it is refused as when this worker has too much to do; None: never.
    """

    order_id: str
    service: str
    command_type: CommandType
    data: Message
    action: str
    key: str
    body: Body
    identity: Identity
    is_key_given: bool = True
    answer: Callable[["CommandResult"], Awaitable[BaseModel]] | None = None
    accepted: Accepted | None = None
    work: WorkClass | None = None

    @property
    def command_id(self) -> str:
        """The same for the same order, action and key."""
        return ids.command_id(self.order_id, self.action, self.key)

    def command(self) -> Command:
        """The command to send."""
        return Command(
            order_id=self.order_id,
            command_id=self.command_id,
            command_type=self.command_type,
            issued_at=to_rfc3339(time.time_ns() // 1_000_000),
            issued_by=self.identity.issued_by,
            body_hash=body_hash(self.body),
            data=self.data,
        )


@dataclass(frozen=True, slots=True)
class CommandResult:
    """A write whose outcome is stored; record: of its service, as it stood then."""

    outcome: Outcome
    record: StoredRecord
    token: consistency.Token


class OutcomePendingError(Exception):
    """The bound passed first; what was asked for is in Kafka and will be done. Answered with 202."""


@contextmanager
def one_request_per_key(context: Context, write: CommandRequest) -> Iterator[None]:
    """Let one request of a key in at a time. Raises ProblemError (409) for the others."""
    if write.command_id in context.under_way:
        raise ProblemError("IDEMPOTENCY_KEY_IN_USE", "Repeat it a little later.", retry_after_s=1)
    context.under_way.add(write.command_id)
    try:
        yield
    finally:
        context.under_way.discard(write.command_id)


async def settle(context: Context, write: CommandRequest) -> CommandResult:
    """Send the command, unless its outcome is known, and wait for the outcome.

    Raises ProblemError (409 for one whose outcome is not kept any more, 422, 503 also when there is too much
    to do, and what the code of a refusal means), OutcomePendingError, KafkaUnavailableError, NotOwnerError and
    NotReadyError.
    """
    table = context.tables[write.service]
    record = table.get(write.order_id)
    is_decided, bound_s = partial(_is_decided, write.command_id), context.deps.bounds.command_s
    if not is_decided(record):
        if record is not None and record.has_decided(write.command_id):
            raise ProblemError(
                "IDEMPOTENCY_KEY_EXPIRED", "Read the order; take a new key to ask anew."
            )
        # What is decided already is answered however much there is to do.
        if write.work is not None:
            context.deps.admission.admit(write.work)
        with context.deps.admission.deciding():
            await context.deps.sender.send(write.command())
            record = await wait(context, write.service, write.order_id, is_decided, bound_s)
    stored = record.outcomes.get(write.command_id) if record else None
    if record is None or stored is None:
        raise ProblemError(
            "ORDER_QUARANTINED", "It will go on when it is released.", retry_after_s=60
        )
    if stored.body_hash != body_hash(write.body):
        raise ProblemError("IDEMPOTENCY_KEY_REUSED", "Take a new key for another request.")
    if not stored.outcome.accepted:
        raise refused(stored.outcome.code, stored.outcome.detail)
    token = consistency.Token(order=write.order_id).covering(
        write.service, record, stored.outcome.positions
    )
    return CommandResult(stored.outcome, record, token)


def is_rebalancing(error: Exception) -> bool:
    """Whether nobody answers for the order right now."""
    if isinstance(error, ProblemError):
        return error.code in REBALANCING_CODES
    return isinstance(error, NotOwnerError | NotReadyError)


async def send_without_waiting(context: Context, write: CommandRequest) -> None:
    """Put a write into Kafka while nobody answers for its order: whoever owns it next decides it.

    It is the command that the owner itself would send, so it counts once even if it was sent before.
    Who asks must be known by then. Raises KafkaUnavailableError.
    """
    await context.deps.sender.send(write.command())


def _is_decided(command_id: str, record: StoredRecord | None) -> bool:
    """The outcome is there, or never will be."""
    return record is not None and (command_id in record.outcomes or record.quarantine is not None)


async def wait(
    context: Context,
    service: str,
    order_id: str,
    predicate: Callable[[StoredRecord | None], bool],
    timeout_s: float,
) -> StoredRecord | None:
    """Wait for an order's record of a service. Raises OutcomePendingError, NotOwnerError, NotReadyError."""
    try:
        return await context.tables[service].wait(order_id, predicate, timeout_s)
    except TimeoutError:
        raise OutcomePendingError from None


async def perform(context: Context, write: CommandRequest) -> Any:
    """Do a write, one request of its key at a time, as `settle` does; `Accepted` past the bound."""
    try:
        with one_request_per_key(context, write) if write.is_key_given else nullcontext():
            settled = await settle(context, write)
            return await write.answer(settled) if write.answer else settled
    except OutcomePendingError:
        return write.accepted or Accepted(order_id=write.order_id)


def check_order_is_known(context: Context, order_id: str) -> None:
    """Refuse a write to an order that is not there (yet). Raises ProblemError (404)."""
    if context.record(ORDERS, order_id) is None:
        raise ProblemError("ORDER_UNKNOWN", "If it was placed a moment ago, try again.")
