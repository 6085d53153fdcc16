"""The pure half of redriving: what a dry run means for an operator, and the audit event of an act."""

from collections.abc import Iterable

from app.audit import operator_event
from models import ids
from models.dead_letter import DeadLetter, DeadLetterState, DryRunVerdict, RedriveStep
from models.errors import OperatorActionRefusedError
from models.events import NO_ORDER, DeadLetterSettled, Event, EventType
from models.topics import ORDER_AUDIT
from tables import DryRunResult


def audit_event(
    letter: DeadLetter, state: DeadLetterState, by: str, reason: str, at_ms: int
) -> Event:
    """The audit's record of an act; its id is made of the dead letter, its life and the act."""
    key = letter.order_key
    order_id = key if key is not None and ids.is_order_id(key) else NO_ORDER
    act = f"{letter.name}/{len(letter.origins)}/{state}"
    topic, partition, offset = letter.origin
    data = DeadLetterSettled(
        dead_letter_id=letter.name, service=letter.service, topic=topic, partition=partition,
        offset=offset, error=letter.error, reason=reason, by=by,
    )  # fmt: skip
    event_type = EventType[f"DEAD_LETTER_{state}"]
    return operator_event(event_type, act, letter.name, data, at_ms, order_id)


def redrive_refusal(step: RedriveStep) -> OperatorActionRefusedError | None:
    """Why a dead letter must not be redriven."""
    name = step.letter.name
    if step.verdict is DryRunVerdict.DEAD:
        why = ": ".join(filter(None, (step.error, step.message)))
        return OperatorActionRefusedError(
            "DEAD_AGAIN", f"{name} would die again ({why}). Discard it, or mend the service first."
        )
    # In a quarantine nothing can have overtaken it: then it was redriven before a crash.
    if step.verdict is DryRunVerdict.DUPLICATE and not step.letter.number:
        return OperatorActionRefusedError(
            "REDRIVE_HAS_NO_EFFECT",
            f"{name}, or a later record of its sender, has been applied. Discard it.",
        )
    return None


def redrive_step(letter: DeadLetter, told: DryRunResult) -> RedriveStep:
    """A rehearsal as operators see it."""
    types = [dict(output.headers).get("ce_type", b"").decode() for output in told.outputs]
    events, outcome = tuple(dict.fromkeys(filter(None, types))), told.outcome
    accepted, code = (outcome.accepted, outcome.code) if outcome else (None, "")
    return RedriveStep(letter, told.verdict, events, accepted, code, told.error, told.message)


def original_topic(letter: DeadLetter) -> str:
    """Where it came from, and goes again."""
    return letter.origins[0].topic


def release_topic(inputs: Iterable[str]) -> str:
    """Where a release is the least in anybody's way: it has no value, and events are read by many."""
    return min(inputs, key=lambda topic: (not topic.endswith("-commands"), topic != ORDER_AUDIT))
