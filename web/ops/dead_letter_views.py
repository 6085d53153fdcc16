"""What operators are shown of a dead letter, its record, and what was done with it."""

from models import ids
from models.dead_letter import DeadLetter, OriginalRecord, RedriveResult, RedriveStep
from models.times import to_rfc3339
from models.topics import ORDER_COMMANDS
from models.tracing import TRACEPARENT
from tables import StoredRecord
from web.http.operator_deps import OperatorDeps
from web.http.redaction import redacted_header, shown
from web.ops.schemas import (
    DeadLetterDetail,
    DeadLetterRow,
    Quarantined,
    RedriveStepView,
    SettlementView,
)


def row_of(letter: DeadLetter) -> DeadLetterRow:
    """Show a dead letter in a list."""
    key, origin, settled = letter.order_key, letter.origins[0], letter.settled
    return DeadLetterRow(
        dead_letter_id=letter.name,
        state=letter.state,
        service=letter.service,
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        key=key,
        order_id=key if key is not None and ids.is_order_id(key) else None,
        error=letter.error,
        message=letter.message,
        died_at=to_rfc3339(letter.dead_lettered_ms),
        deaths=len(letter.origins),
        quarantined=letter.number > 0,
        by=settled.by if settled else None,
        reason=settled.reason if settled else None,
        settled_at=to_rfc3339(settled.at_ms) if settled else None,
    )


def dead_letter_view(
    operations: OperatorDeps,
    letter: DeadLetter,
    original: OriginalRecord,
    record: StoredRecord | None,
    *,
    hide: bool,
) -> DeadLetterDetail:
    """Show a dead letter with the record that it was; hide: what a customer entered."""
    found = operations.dead_letters.open_for_key(letter.service, letter.key)
    headers = {name: redacted_header(name, value) for name, value in original.headers}
    value = shown(original.value, hides_people=hide and letter.origins[0].topic == ORDER_COMMANDS)
    quarantine = record.quarantine if record else None
    return DeadLetterDetail(
        dead_letter=row_of(letter),
        format=value.format,
        value=value.value,
        bytes=None if original.value is None else len(original.value),
        masked=value.is_masked,
        omitted_bytes=letter.omitted_bytes or None,
        headers=headers,
        traceparent=headers.get(TRACEPARENT),
        quarantine=Quarantined(
            reason=quarantine.reason,
            since=to_rfc3339(quarantine.since_ms),
            turned_away=quarantine.dead_lettered,
            first_dead_letter_id=found[0].name if found else None,
        )
        if quarantine
        else None,
        others=tuple(other.name for other in found if other is not letter),
    )


def settlement_view(acted: RedriveResult, *, dry_run: bool) -> SettlementView:
    """Show what was done, or would be."""
    return SettlementView(
        dry_run=dry_run,
        refused=acted.is_refused,
        steps=tuple(map(_step, acted.steps)),
        quarantined=acted.is_quarantined,
        stopped=acted.stopped or None,
    )


def _step(step: RedriveStep) -> RedriveStepView:
    return RedriveStepView(
        dead_letter_id=step.letter.name,
        verdict=step.verdict,
        events=step.events,
        accepted=step.accepted,
        code=step.code or None,
        error=step.error or None,
        message=step.message or None,
    )
