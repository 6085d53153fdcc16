"""A step of the kitchen or a courier: a write whose Idempotency-Key may be left out.

Whoever taps a button twice means it once. Without a key the command's id is made of the order, the
step, its body, who asks, and how many refusals the order's record counts: the same tap again is the
same command, and after a refusal the next tap is a new one.
"""

from aiohttp import web

from models.commands import CommandType
from models.delivery import DeliveryRecord
from models.messages import Message
from models.order import OrderRecord
from web.http.bodies import Body, body_hash
from web.http.commands import CommandRequest, CommandResult, answered
from web.http.context import Context
from web.http.params import optional_idempotency_key
from web.http.tokens import Identity


class Nothing(Body):
    """No field."""


class StepResult(Message):
    """status: of the order, for a kitchen's step; of the delivery, for a courier's."""

    order_id: str
    status: str
    consistency_token: str


async def take(
    context: Context,
    request: web.Request,
    *,
    service: str,
    order_id: str,
    command_type: CommandType,
    data: Message,
    body: Body,
    identity: Identity,
) -> web.Response:
    """Take the step at the order's owner, and answer with the status that it led to.

    Raises as `writes.settle` does, and ProblemError (409) for a key whose first request is under way.
    """
    key = optional_idempotency_key(request)
    write = CommandRequest(
        order_id=order_id,
        service=service,
        command_type=command_type,
        data=data,
        action=f"{command_type}:{identity.issued_by}",
        key=key or _implicit_idempotency_key(context, service, order_id, body),
        body=body,
        identity=identity,
    )

    def answer(settled: CommandResult, token: str) -> StepResult:
        status = _status(settled.record.state)
        return StepResult(order_id=order_id, status=status, consistency_token=token)

    return await answered(context, write, answer, one_at_a_time=key is not None)


def _status(state: OrderRecord | DeliveryRecord) -> str:
    known = state.order if isinstance(state, OrderRecord) else state.delivery
    assert known is not None, "an accepted step has its order and its delivery"
    return known.status


def _implicit_idempotency_key(context: Context, service: str, order_id: str, body: Body) -> str:
    record = context.record(service, order_id)
    refusals = 0
    if record is not None and isinstance(record.state, OrderRecord):
        refusals = record.state.work.audit_sequence
    elif record is not None and isinstance(record.state, DeliveryRecord):
        refusals = record.state.audit_sequence
    return f"tap:{refusals}:{body_hash(body)}"
