"""A step of the kitchen or a courier: a write whose Idempotency-Key may be left out.

Without a key the command's id is made of the order, the step, its body, who asks, and how many refusals
the order's record counts: a button pressed twice is one command, and after a refusal the next press is
a new one.
"""

from models.commands import CommandType, NoData
from models.delivery import DeliveryRecord
from models.messages import Message
from models.order import OrderRecord
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.bodies import B, Body, body_hash
from web.http.commands import CommandRequest, CommandResult
from web.http.context import Context, state_of
from web.http.params import Params
from web.http.route import Call


class StepResult(ApiModel):
    """status: of the order, for a kitchen's step; of the delivery, for a courier's."""

    order_id: str
    status: str
    consistency_token: str


def step(
    call: Call[Params, B], service: str, command_type: CommandType, data: Message | None = None
) -> CommandRequest:
    """The command of a step, answered with the status that it leads to. At the order's owner.

    Raises NotOwnerError, NotReadyError.
    """
    order_id = call.order_id

    async def answer(settled: CommandResult) -> StepResult:
        state: OrderRecord | DeliveryRecord = settled.record.state
        known = state.order if isinstance(state, OrderRecord) else state.delivery
        assert known is not None, "an accepted step has its order and its delivery"
        return view_of(StepResult, known, consistency_token=settled.token.text())

    return CommandRequest(
        order_id=order_id, service=service, command_type=command_type, data=data or NoData(),
        action=f"{command_type}:{call.identity.issued_by}",
        key=call.key or _implicit_idempotency_key(call.context, service, order_id, call.body),
        body=call.body, identity=call.identity, is_key_given=bool(call.key), answer=answer,
    )  # fmt: skip


def _implicit_idempotency_key(context: Context, service: str, order_id: str, body: Body) -> str:
    record = context.record(service, order_id)
    order, delivery = state_of(record, OrderRecord), state_of(record, DeliveryRecord)
    refusals = order.work.audit_sequence or delivery.audit_sequence  # one of the two is empty
    return f"tap:{refusals}:{body_hash(body)}"
