"""An operator has a state made anew from its events: what the services do alike.

The events come in the command, read from the topics kept for ever by the partition's owner. They must be whole,
so that the next event has the next number; what they give replaces the state alone. Nothing is emitted again.
"""

from dataclasses import dataclass
from typing import Any

from agents.decision import DecisionBuilder
from models.events import EVENTS, Event, EventType, StateRepaired, read_event
from models.levels import Level
from models.rebuild import EVENT_FOLDS, RebuiltState
from models.repair import RepairState
from models.transition import Outcome


@dataclass(frozen=True, slots=True)
class Refolded:
    """What the events give.

    last_sequence: of the service's events, those that are not folded included. own, others: the service's
    events and those of other services.
    """

    state: Any
    last_sequence: int
    own: tuple[Event, ...]
    others: tuple[Event, ...]


def begin_repair(builder: DecisionBuilder, live: Any, data: RepairState) -> Refolded | Outcome:
    """Fold the command's events; a refusal where they may not replace the live state.

    Raises UnreadableError for what is no event of this order.
    """
    if builder.input.level < Level.V0_2:
        return builder.refuse("UPGRADE_NOT_FINISHED", "Finish it first: faust -A app level finish")
    if not builder.is_operator:
        return builder.refuse("OPERATORS_ONLY", "Only operators have a state made anew.")
    if (live.sequence if live else 0) != data.live_sequence:
        return builder.refuse("STATE_MOVED_ON", "The order has moved on; look at it again.")
    service = builder.producer
    own, others = [], []
    fold, part = RebuiltState(), EVENT_FOLDS[service]
    for text in data.events:
        value = text.encode()
        event = read_event(builder.order_id.encode(), value)
        if event.producer != service:
            others.append(event)
            continue
        own.append(event)
        topics = EVENTS[event.event_type].topics
        fold.add(part, part.topic if part.topic in topics else topics[0], event, value)
    if fold.conflicts or fold.unfoldable:
        return builder.refuse("EVENTS_CONFLICT", "Its events contradict each other.")
    is_whole = fold.state is not None and not fold.missing_sequences()
    if not is_whole or fold.sequence < data.live_sequence:
        return builder.refuse("EVENTS_MISSING", "Not all of its events are there any more.")
    return Refolded(fold.state, fold.last_sequence, tuple(own), tuple(others))


def end_repair(
    builder: DecisionBuilder, data: RepairState, not_restored: tuple[str, ...]
) -> Outcome:
    """Number on behind everything that was emitted, and mark the order in the audit."""
    builder.audit_sequence = max(builder.audit_sequence, data.audit_sequence)
    repaired = StateRepaired(
        from_sequence=data.live_sequence, to_sequence=builder.sequence,
        not_restored=() if data.live_sequence else not_restored, by=builder.command.issued_by,
    )  # fmt: skip
    builder.emit(EventType.STATE_REPAIRED, repaired)
    return builder.accept()
