"""What the dry run of a redrive means for an operator. Pure."""

from models.dead_letter import DeadLetter, DryRunVerdict, RedriveStep
from models.errors import OperatorActionRefusedError
from models.generations import base_topic
from tables import DryRunResult


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
        why = f"{name}, or a later record of its sender, has been applied. Discard it."
        return OperatorActionRefusedError("REDRIVE_HAS_NO_EFFECT", why)
    return None


def redrive_step(letter: DeadLetter, told: DryRunResult) -> RedriveStep:
    """A rehearsal as operators see it."""
    types = [dict(output.headers).get("ce_type", b"").decode() for output in told.outputs]
    events, outcome = tuple(dict.fromkeys(filter(None, types))), told.outcome
    accepted, code = (outcome.accepted, outcome.code) if outcome else (None, "")
    return RedriveStep(letter, told.verdict, events, accepted, code, told.error, told.message)


def original_topic(letter: DeadLetter) -> str:
    """Where it came from, and goes again: the topic's own name, whichever generation's it was."""
    return base_topic(letter.origins[0].topic)
