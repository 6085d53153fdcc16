"""Refunds over HTTP: made by an operator, the queue of all of them, and the retry of one that failed."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from models import ids
from models.commands import CommandType, RefundPayment, RetryRefund
from models.graphs import RefundStatus
from models.messages import Message
from models.payment import PaymentRecord
from models.times import to_rfc3339_or_none
from tables import NotOwnerError
from web.api.payment_views import Money, refund_view
from web.api.schemas import RefundAnswer, RefundBody
from web.http import auth
from web.http.bodies import B, Body, read_json
from web.http.commands import (
    CommandRequest,
    CommandResult,
    answered,
    check_order_is_known,
    forwarded_to_owner,
    json_response,
)
from web.http.context import CONTEXT, PAYMENTS, Context
from web.http.params import (
    idempotency_key,
    limit_of,
    one_of,
    order_id_of,
)
from web.http.scatter_gather import scatter_gather
from web.http.tokens import Role
from web.indexes.money import BLOCKED, RefundEntry

MAX_LISTED: Final = 1000
STATES: Final = (*RefundStatus, BLOCKED)
QUERY: Final = {
    "state": f"one of {', '.join(STATES)}; all by default",
    "limit": f"at most so many, 1 to {MAX_LISTED}; 100 by default",
}


class RefundRow(Message):
    """One refund. amount: minor units. by: who asked.

    state BLOCKED: a refund that waits for a dispute to be closed; it has no id yet. retryOf: the
    failed refund that this one repeats; retriedBy: the one that repeats this. canRetry: a retry
    would be accepted.
    """

    order_id: str
    payment_id: str
    refund_id: str | None = None
    state: str
    amount: Money
    reason: str
    by: str | None = None
    requested_at: str | None = None
    ended_at: str | None = None
    stripe_refund_id: str | None = None
    failure_reason: str | None = None
    retry_of: str | None = None
    retried_by: str | None = None
    can_retry: bool


class RefundRows(Message):
    """The latest first. counts: state -> how many are known; of those that are over, only the latest.

    incomplete: partitions whose refunds are missing here.
    """

    refunds: tuple[RefundRow, ...]
    counts: dict[str, int]
    incomplete: tuple[int, ...]


class RetryRefundBody(Body):
    """Nothing needs to be said."""


async def refund(request: web.Request) -> web.StreamResponse:
    """Give money back; Stripe's word on it comes later, and the payment's view shows it."""

    def data_of(body: RefundBody) -> Message:
        return RefundPayment(amount=body.amount, reason=body.reason)

    return await _start(request, CommandType.REFUND_PAYMENT, "refund", RefundBody, data_of)


async def retry_refund(request: web.Request) -> web.StreamResponse:
    """Refund once more what a refund that failed did not give back; the answer is the new refund."""
    refund_id = request.match_info["refund_id"]

    def data_of(_: RetryRefundBody) -> Message:
        return RetryRefund(refund_id=refund_id)

    return await _start(
        request, CommandType.RETRY_REFUND, f"retry-{refund_id}", RetryRefundBody, data_of
    )


async def _start(
    request: web.Request,
    command_type: CommandType,
    action: str,
    kind: type[B],
    data_of: Callable[[B], Message],
) -> web.StreamResponse:
    context, order_id, key = request.app[CONTEXT], order_id_of(request), idempotency_key(request)
    identity = await auth.authorize(request, context.deps, order_id, Role.OPERATOR)
    body = await read_json(request, kind, context.deps.body_limit_bytes, may_be_empty=True)
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    check_order_is_known(context, order_id)
    write = CommandRequest(
        order_id=order_id, service=PAYMENTS, command_type=command_type, data=data_of(body),
        action=action, key=key, body=body, identity=identity,
    )  # fmt: skip

    def answer(settled: CommandResult, token: str) -> RefundAnswer:
        state: PaymentRecord = settled.record.state
        assert state.payment is not None, "an accepted refund has its payment"
        made = refund_view(state.refunds()[ids.refund_id(write.command_id)], state.payment.currency)
        return RefundAnswer(order_id=order_id, refund=made, consistency_token=token)

    return await answered(context, write, answer, status=201)


async def list_refunds(request: web.Request) -> web.StreamResponse:
    """Refunds of one state or all, the latest first."""
    context = request.app[CONTEXT]
    await auth.authorize_staff(request, context.deps, Role.OPERATOR)
    limit, state = limit_of(request, 100, MAX_LISTED), one_of(request, "state", STATES)

    async def share(partition: int) -> Any:
        entries = _entries(context, partition)
        counts = Counter(str(entry.state) for entry in entries)
        rows = [_row(entry) for entry in entries if state in {None, entry.state}]
        shown = [row.model_dump(mode="json", by_alias=True) for row in _latest(rows, limit)]
        return [counts, shown]

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        rows = [RefundRow.model_validate(row) for _, found in shares.values() for row in found]
        counts: Counter[str] = Counter()
        for counted, _ in shares.values():
            counts.update(counted)
        answer = RefundRows(
            refunds=tuple(_latest(rows, limit)),
            counts=dict(counts),
            incomplete=missing,
        )
        return json_response(answer)

    return await scatter_gather(request, PAYMENTS, share, merged)


def _entries(context: Context, partition: int) -> list[RefundEntry]:
    if partition not in context.tables[PAYMENTS].open_partitions():
        raise NotOwnerError(PAYMENTS)
    return list(context.deps.money.refunds(partition))


def _latest(rows: list[RefundRow], limit: int) -> list[RefundRow]:
    """What waits for a dispute stands before all."""

    def place(row: RefundRow) -> tuple[bool, str, str]:
        return row.state == BLOCKED, row.requested_at or "", row.order_id

    return sorted(rows, key=place, reverse=True)[:limit]


def _row(entry: RefundEntry) -> RefundRow:
    made = entry.refund
    return RefundRow(
        order_id=entry.order_id,
        payment_id=entry.payment_id,
        refund_id=made.refund_id if made else None,
        state=entry.state,
        amount=Money.of(entry.amount, entry.currency),
        reason=entry.reason,
        by=made.by if made else None,
        requested_at=to_rfc3339_or_none(made.requested_at) if made else None,
        ended_at=to_rfc3339_or_none(made.ended_at) if made else None,
        stripe_refund_id=made.stripe_refund_id if made else None,
        failure_reason=made.failure_reason if made else None,
        retry_of=made.retry_of if made else None,
        retried_by=entry.retried_by,
        can_retry=entry.can_retry,
    )
