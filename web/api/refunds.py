"""Refunds over HTTP: made by an operator, the queue of all of them, and the retry of one that failed."""

from collections import Counter
from typing import Final, NamedTuple

from models import ids
from models.commands import CommandType, RefundPayment, RetryRefund
from models.graphs import RefundStatus
from models.index_entries import BLOCKED
from models.messages import Message, checked
from models.payment import PaymentRecord
from web.api.order_views import refund_view
from web.api.schemas import RefundAnswer, RefundBody
from web.api.views import view_of
from web.http.answers import Money
from web.http.api_model import ApiModel
from web.http.bodies import B, EmptyBody
from web.http.commands import CommandRequest, CommandResult
from web.http.context import PAYMENTS
from web.http.params import Params, choice_param, limit_param
from web.http.problems import ProblemError
from web.http.route import Call
from web.http.scatter_gather import Gather, Missing, Shares

MAX_LISTED: Final = 1000
STATES: Final = (*RefundStatus, BLOCKED)


class RefundRow(ApiModel):
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


class RefundRows(ApiModel):
    """The latest first. counts: state -> how many are known; of those that are over, only the latest.

    incomplete: partitions whose refunds are missing here.
    """

    refunds: tuple[RefundRow, ...]
    counts: dict[str, int]
    incomplete: tuple[int, ...]


def refund(call: Call[Params, RefundBody]) -> CommandRequest:
    """Give money back; Stripe's word on it comes later, and the payment's view shows it."""
    data = RefundPayment(amount=call.body.amount, reason=call.body.reason)
    return _command(call, CommandType.REFUND_PAYMENT, data, "refund")


def retry_refund(call: Call[Params, EmptyBody]) -> CommandRequest:
    """Refund once more what a refund that failed did not give back; the answer is the new refund."""
    return retry_command(call, call.id_of("refund_id"))


def retry_command(call: Call[Params, EmptyBody], refund_id: str) -> CommandRequest:
    """The command that repeats a failed refund. Raises ProblemError (404) for what can't be a refund's id."""
    try:
        data = checked(RetryRefund(refund_id=refund_id))
    except ValueError:
        raise ProblemError("REFUND_UNKNOWN") from None
    return _command(call, CommandType.RETRY_REFUND, data, f"retry-{refund_id}")


def _command(
    call: Call[Params, B], command_type: CommandType, data: Message, action: str
) -> CommandRequest:
    async def answer(settled: CommandResult) -> RefundAnswer:
        state: PaymentRecord = settled.record.state
        assert state.payment is not None, "an accepted refund has its payment"
        made = state.refunds()[ids.refund_id(write.command_id)]
        shown, token = refund_view(made, state.payment.currency), settled.token.text()
        return RefundAnswer(order_id=call.order_id, refund=shown, consistency_token=token)

    write = CommandRequest(
        order_id=call.order_id, service=PAYMENTS, command_type=command_type, data=data,
        action=action, key=call.key, body=call.body, identity=call.identity, answer=answer,
    )  # fmt: skip
    return write


class RefundParams(Params):
    """Of the list."""

    state: str | None = choice_param(STATES)
    limit: int = limit_param(100, MAX_LISTED)


class RefundsShare(NamedTuple):
    """counts: by state, of all."""

    counts: Counter[str]
    rows: list[RefundRow]


class ListRefunds(Gather[RefundsShare, RefundRows]):
    """Refunds of one state or all, the latest first."""

    service, open_services, share_type = PAYMENTS, (PAYMENTS,), RefundsShare

    async def share(self, partition: int) -> RefundsShare:
        """Of an owned partition."""
        params = self.call.params
        money = self.context.deps.money
        rows = [
            view_of(RefundRow, entry, entry.refund)
            for entry in money.refunds(partition)
            if params.state in {None, entry.state}
        ]
        return RefundsShare(money.refund_counts(partition), _latest(rows, params.limit))

    async def merged(self, shares: Shares[RefundsShare], missing: Missing) -> RefundRows:
        """The latest first."""
        rows = [row for share in shares.values() for row in share.rows]
        return RefundRows(
            refunds=tuple(_latest(rows, self.call.params.limit)),
            counts=sum((share.counts for share in shares.values()), Counter[str]()),
            incomplete=missing,
        )


def _latest(rows: list[RefundRow], limit: int) -> list[RefundRow]:
    """What waits for a dispute stands before all."""

    def place(row: RefundRow) -> tuple[bool, str, str]:
        return row.state == BLOCKED, row.requested_at or "", row.order_id

    return sorted(rows, key=place, reverse=True)[:limit]
