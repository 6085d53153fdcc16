"""An operator has a state of an order made anew from its events, by the worker that owns the order."""

from typing import Final, Literal

from pydantic import Field

from models import topics
from models.commands import CommandType
from models.dead_letter import RecordLocation
from models.events import Event, read_event_of
from models.rebuild import derived_state, digest
from models.repair import MAX_REPAIR_EVENTS, RepairState
from models.transition import UnreadableError
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.bodies import Body
from web.http.commands import CommandRequest, CommandResult
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.route import Call

REPAIR_COMMANDS: Final = {
    "orders": CommandType.REPAIR_ORDER,
    "payments": CommandType.REPAIR_PAYMENT,
    "deliveries": CommandType.REPAIR_DELIVERY,
}


class EventPlace(ApiModel):
    """Where an event lies in the order's partition."""

    topic: Literal["payment-events", "order-events", "delivery-events", "order-audit"]
    offset: int = Field(ge=0, lt=2**63)


class RepairBody(Body):
    """Which state, and where its events are: the owner reads them itself, none is taken from the request."""

    service: Literal["orders", "payments", "deliveries"] = Field(description="whose state")
    live_sequence: int = Field(
        ge=0, lt=2**31, description="last event in the state as it was compared; 0: there is none"
    )
    events: list[EventPlace] = Field(
        min_length=1,
        max_length=MAX_REPAIR_EVENTS + 1,
        description="the service's events of the order, in their order, and its last record in the audit",
    )


class Repaired(ApiModel):
    """The state as it is now; sha256 as in the digests."""

    order_id: str
    service: str
    sequence: int
    sha256: str


async def repair(call: Call[Params, RepairBody]) -> CommandRequest:
    """Make a state anew from events that lie in topics kept for ever."""
    service = call.body.service
    events: list[str] = []
    audited = 0
    for topic, event, value in await _read(call):
        if topic == topics.ORDER_AUDIT:
            audited = max(audited, event.sequence if event.producer == service else 0)
        else:
            events.append(value.decode())

    async def answer(settled: CommandResult) -> Repaired:
        found = digest(derived_state(service, settled.record.state))
        return view_of(Repaired, found, order_id=call.order_id, service=service)

    return CommandRequest(
        order_id=call.order_id, service=service, command_type=REPAIR_COMMANDS[service],
        data=RepairState(
            live_sequence=call.body.live_sequence, audit_sequence=audited, events=tuple(events)
        ),
        action=f"repair-{service}", key=call.key, body=call.body, identity=call.identity,
        answer=answer,
    )  # fmt: skip


async def _read(call: Call[Params, RepairBody]) -> list[tuple[str, Event, bytes]]:
    """Topic, event and its bytes of each place. Raises ProblemError for what is no event of this order."""
    partition = call.context.tables[call.body.service].partition_of(call.order_id)
    places = [RecordLocation(e.topic, partition, e.offset) for e in call.body.events]
    found = await call.context.operations.records(places)
    events = []
    for place in places:
        key, value = found.get(place, (b"", b""))
        try:
            event = read_event_of(place.topic, key, value)
        except UnreadableError:
            event = None
        if event is None or event.order_id != call.order_id:
            told = f"{place.topic}/{partition} has no event of this order at offset {place.offset}."
            raise ProblemError("EVENTS_MISSING", told)
        events.append((place.topic, event, value))
    return events
