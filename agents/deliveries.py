"""The deliveries service: joins delivery commands and order events with the deliveries table."""

from typing import Final

from agents.decision import SYSTEM, DecisionBuilder
from agents.dictionaries import dictionaries_of
from agents.repair import begin_repair, end_repair
from agents.service import Service, commands, events
from models import topics
from models.commands import AssignDelivery, CancelOrder, Command, CompleteDelivery
from models.delivery import STATUS_AFTER, C, DeliveryRecord, E, evolve
from models.delivery_code import CodeCheck, DeliveryProof
from models.events import DeliveryMoved, Event, EventType
from models.graphs import DELIVERY_GRAPH, OrderStatus
from models.order import STATUS_AFTER as ORDER_STATUS_AFTER
from models.repair import RepairState
from models.transition import Decision, IndexData, Input, Outcome, ReadRow

EVENT_BY_COMMAND: Final = {
    C.ASSIGN_DELIVERY: E.DELIVERY_ASSIGNED,
    C.PICK_UP_DELIVERY: E.DELIVERY_PICKED_UP,
    C.COMPLETE_DELIVERY: E.DELIVERY_DELIVERED,
    C.CANCEL_DELIVERY: E.DELIVERY_CANCELLED,
}
"""What each command leads to, where the graph allows it."""
TRUSTED_ROLES: Final = frozenset({"operator", SYSTEM})
"""Roles that may move anybody's delivery; a courier may move its own."""
MAX_WRONG_CODES: Final = 5
"""Of 10,000 codes; after so many wrong ones a delivery is handed over without one."""
PROOF_BY_CHECK: Final = {
    CodeCheck.MATCHED: DeliveryProof.CODE,
    CodeCheck.MISSING: DeliveryProof.NO_CODE,
}


class DeliveryDecisionBuilder(DecisionBuilder):
    """One decision about a delivery."""

    def __init__(self, state: DeliveryRecord, record: Input) -> None:
        self.delivery, self.order_cancelled = state.delivery, state.order_cancelled
        self.order_status, self.wrong_codes = state.order_status, state.wrong_codes
        sequence = self.delivery.sequence if self.delivery else 0
        super().__init__("deliveries", record, state, sequence)

    def next_state(self) -> DeliveryRecord:
        """The record as it is to be stored."""
        return DeliveryRecord(
            delivery=self.delivery, order_status=self.order_status,
            order_cancelled=self.order_cancelled, audit_sequence=self.audit_sequence,
            occurred_at=self.at_ms, correlation_id=self.correlation_id,
            wrong_codes=self.wrong_codes,
        )  # fmt: skip

    def allows(self, event_type: EventType) -> bool:
        """Whether the graph has this edge."""
        here = self.delivery.status if self.delivery else None
        return STATUS_AFTER[event_type] in DELIVERY_GRAPH[here]

    def move(self, event_type: EventType, data: DeliveryMoved) -> None:
        """Take one edge of the graph."""
        assert self.allows(event_type)
        self.delivery = evolve(self.delivery, self.emit(event_type, data))


def decide(state: DeliveryRecord, record: Input, _read: ReadRow) -> Decision:
    """Decide one input of an order's delivery."""
    builder = DeliveryDecisionBuilder(state, record)
    outcome: Outcome | None = None
    if isinstance(record.message, Command):
        outcome = _command(builder, record.message)
    else:
        _order_event(builder, record.message)
    return Decision(builder.next_state(), builder.outputs, outcome=outcome)


def _command(builder: DeliveryDecisionBuilder, command: Command) -> Outcome:
    if command.command_type is C.REPAIR_DELIVERY:
        return _repair(builder, command.data)
    event_type, data = EVENT_BY_COMMAND[command.command_type], command.data
    if not _is_allowed(builder, command):
        return builder.refuse("WRONG_COURIER", "This delivery is another courier's.")
    if not builder.allows(event_type):
        where = f"is {builder.delivery.status}" if builder.delivery else "does not exist"
        return builder.refuse(
            "NOT_ALLOWED_NOW", f"The delivery {where}; {command.command_type} is not possible."
        )
    is_ready = builder.order_status is OrderStatus.READY_FOR_PICKUP
    if event_type is E.DELIVERY_PICKED_UP and not is_ready:
        # Commands and order-events are two topics: ORDER_READY_FOR_PICKUP may still be on its way.
        return builder.refuse(
            "NOT_READY_FOR_PICKUP",
            f"Deliveries knows the order as {builder.order_status}; it can be picked up once the kitchen "
            "has marked it ready. If that was a moment ago, try again.",
        )
    check = data.code if isinstance(data, CompleteDelivery) else None
    if check in {CodeCheck.MATCHED, CodeCheck.WRONG} and builder.wrong_codes >= MAX_WRONG_CODES:
        return builder.refuse(
            "DELIVERY_CODE_LOCKED",
            f"The code was wrong {MAX_WRONG_CODES} times; deliver without it.",
        )
    if check is CodeCheck.WRONG:
        builder.wrong_codes += 1
        left = MAX_WRONG_CODES - builder.wrong_codes
        return builder.refuse("DELIVERY_CODE_WRONG", f"Tries left: {left}.")
    moved = DeliveryMoved(
        courier_id=data.courier_id if isinstance(data, AssignDelivery) else None,
        reason=data.reason if isinstance(data, CancelOrder) else None,
        proof=PROOF_BY_CHECK[check] if check else None,
    )
    builder.move(event_type, moved)
    return builder.accept()


def _is_allowed(builder: DeliveryDecisionBuilder, command: Command) -> bool:
    """A courier takes deliveries for itself and moves its own; nobody else but TRUSTED_ROLES roles may."""
    role, _, subject = command.issued_by.partition(":")
    if role in TRUSTED_ROLES:
        return True
    if role != "courier" or command.command_type is C.CANCEL_DELIVERY:
        return False
    if isinstance(command.data, AssignDelivery):
        return bool(command.data.courier_id == subject)
    courier_id = builder.delivery.courier_id if builder.delivery else None
    # Before there is a courier the graph refuses, with a better reason.
    return courier_id is None or courier_id == subject


def _order_event(builder: DeliveryDecisionBuilder, event: Event) -> None:
    builder.order_status = ORDER_STATUS_AFTER[event.event_type]
    if event.event_type is E.ORDER_CREATED:
        if builder.delivery is None and not builder.order_cancelled:
            builder.move(E.DELIVERY_CREATED, DeliveryMoved())
    elif event.event_type is E.ORDER_CANCELLED:
        builder.order_cancelled = True
        if builder.delivery and builder.allows(E.DELIVERY_CANCELLED):
            cancelled = DeliveryMoved(reason=f"{SYSTEM}:{event.data.reason}")
            builder.move(E.DELIVERY_CANCELLED, cancelled)


def _repair(builder: DeliveryDecisionBuilder, data: RepairState) -> Outcome:
    """Make the delivery anew from its events; what it knows of its order from the order's."""
    found = begin_repair(builder, builder.delivery, data)
    if isinstance(found, Outcome):
        return found
    builder.delivery, builder.sequence = found.state, found.state.sequence
    for event in found.others:
        builder.order_status = ORDER_STATUS_AFTER[event.event_type]
        builder.order_cancelled |= event.event_type is E.ORDER_CANCELLED
    return end_repair(builder, data, ("outcomes",))


DELIVERIES: Final = Service(
    name="deliveries",
    about="Moves a paid order's delivery by couriers' commands, and ends it with its order.",
    inputs={topics.ORDER_EVENTS: events, topics.DELIVERY_COMMANDS: commands},
    state=DeliveryRecord,
    initial=DeliveryRecord(),
    decide=decide,
    has_ended=lambda state: state.has_ended,
    index_of=lambda _: IndexData(),
    dictionaries=dictionaries_of("deliveries"),
)
