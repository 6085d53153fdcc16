"""Dead letters over HTTP, for operators: list, show, rehearse, redrive, discard."""

import base64
import logging
from typing import Any, Final

import orjson
from aiohttp import web

from models import ids
from models.messages import to_rfc3339
from models.topics import ORDER_COMMANDS
from tables import StoredRecord
from web import auth
from web.bodies import read_json
from web.context import CONTEXT, Context
from web.ops_ports import Acted, Letter, LetterState, Operations, Original, Step
from web.ops_shapes import (
    ActShown,
    DiscardBody,
    LetterList,
    LetterRow,
    LetterShown,
    Quarantined,
    RedriveBody,
    StepShown,
)
from web.params import limit_of
from web.problems import ProblemError
from web.tokens import Identity, Role
from web.tracing import HEADER as TRACEPARENT
from web.writes import json_response

log = logging.getLogger("tiffin.web.dead_letters")

MOST_LISTED: Final = 500
ALL: Final = "ALL"
PERSONAL: Final = ("contact", "address")
MASKED: Final = "***"
LIST_QUERY: Final = {
    "state": f"{', '.join(LetterState)} or {ALL}; {LetterState.OPEN} by default",
    "service": "the service that could not act on it",
    "topic": "where it came from",
    "order": "its key",
    "limit": f"at most so many, 1 to {MOST_LISTED}; 50 by default",
    "before": "`next` of the page before",
}
SHOW_QUERY: Final = {"personal": "true shows contact and address too; they are masked by default"}


async def list_dead_letters(request: web.Request) -> web.Response:
    """Dead letters, the latest first; open ones by default."""
    operations = await _operations(request)
    query, limit = request.query, limit_of(request, 50, MOST_LISTED)
    state = query.get("state", LetterState.OPEN)
    if state not in {*LetterState, ALL}:
        raise ProblemError(
            "VALIDATION_FAILED", errors=[("state", f"accepted: {LIST_QUERY['state']}")]
        )
    before = query.get("before", "")
    if not (before.isascii() and before.isdigit()) and before:
        raise ProblemError(
            "VALIDATION_FAILED", errors=[("before", "accepted: `next` of the page before")]
        )
    await operations.dead_letters.caught_up()
    counts = dict.fromkeys(LetterState, 0)
    found: list[Letter] = []
    for letter in operations.dead_letters.all():
        counts[letter.state] += 1
        if (
            state in {ALL, letter.state}
            and query.get("service", letter.service) == letter.service
            and query.get("topic", letter.origins[0].topic) == letter.origins[0].topic
            and query.get("order", letter.order_key) == letter.order_key
        ):
            found.append(letter)
    found.sort(key=lambda letter: -letter.first_offset)
    page = [letter for letter in found if not before or letter.first_offset < int(before)]
    answer = LetterList(
        dead_letters=tuple(map(row_of, page[:limit])),
        total=len(found),
        counts={name.value: count for name, count in counts.items()},
        next=str(page[limit - 1].first_offset) if len(page) > limit else None,
        left_out=operations.dead_letters.left_out,
    )
    return json_response(answer)


async def show_dead_letter(request: web.Request) -> web.StreamResponse:
    """One dead letter with the record that it was."""
    operations = await _operations(request)
    context, letter = request.app[CONTEXT], await _letter(request, operations)
    forwarded = await _at_owner(context, request, letter)
    if forwarded is not None:
        return forwarded
    original = await operations.dead_letters.original(letter)
    hide = request.query.get("personal") != "true"
    if not hide:
        by = (await _operator(request)).issued_by
        log.info("personal data of a dead letter shown", extra={"by": by, "letter": letter.name})
    return json_response(_shown(operations, letter, original, _record(context, letter), hide=hide))


async def redrive_dead_letter(request: web.Request) -> web.StreamResponse:
    """Send a dead letter to its origin again, and those behind it; refused if it would die again."""
    context = request.app[CONTEXT]
    operations, identity = await _operations(request), await _operator(request)
    body = await read_json(request, RedriveBody, context.deps.body_limit_bytes, may_be_empty=True)
    letter = await _letter(request, operations)
    forwarded = await _at_owner(context, request, letter)
    if forwarded is not None:
        return forwarded
    acted = await operations.settling.redrive(
        letter,
        by=identity.issued_by,
        reason=body.reason,
        all_of_order=body.all_of_order,
        dry_run=body.dry_run,
    )
    return json_response(_act(acted, dry_run=body.dry_run))


async def discard_dead_letter(request: web.Request) -> web.StreamResponse:
    """Give a dead letter up, with a reason; an order that nothing else holds goes on."""
    context = request.app[CONTEXT]
    operations, identity = await _operations(request), await _operator(request)
    body = await read_json(request, DiscardBody, context.deps.body_limit_bytes)
    letter = await _letter(request, operations)
    forwarded = await _at_owner(context, request, letter)
    if forwarded is not None:
        return forwarded
    acted = await operations.settling.discard(
        letter,
        by=identity.issued_by,
        reason=body.reason,
        redrive_rest=body.redrive_rest,
        dry_run=body.dry_run,
    )
    return json_response(_act(acted, dry_run=body.dry_run))


async def _operator(request: web.Request) -> Identity:
    return await auth.authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)


async def _operations(request: web.Request) -> Operations:
    """For operators alone. Raises ProblemError (401, 403, 404)."""
    await _operator(request)
    operations = request.app[CONTEXT].deps.operations
    if operations is None:
        raise ProblemError("NOT_FOUND")
    return operations


async def _letter(request: web.Request, operations: Operations) -> Letter:
    await operations.dead_letters.caught_up()
    letter = operations.dead_letters.get(request.match_info["dead_letter_id"])
    if letter is None:
        raise ProblemError("DEAD_LETTER_UNKNOWN")
    return letter


async def _at_owner(
    context: Context, request: web.Request, letter: Letter
) -> web.StreamResponse | None:
    """The owner's answer, if the letter's key is another worker's; None too if it is nobody's."""
    table, key = context.tables.get(letter.service), letter.order_key
    if table is None or key is None:
        return None
    return await context.forwarder.forwarded(request, key, table)


def _record(context: Context, letter: Letter) -> StoredRecord | None:
    key = letter.order_key
    return None if key is None else context.record(letter.service, key)


def row_of(letter: Letter) -> LetterRow:
    """Show a dead letter in a list."""
    key, origin, settled = letter.order_key, letter.origins[0], letter.settled
    return LetterRow(
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
        died_at=to_rfc3339(letter.died_ms),
        deaths=len(letter.origins),
        quarantined=letter.number > 0,
        by=settled.by if settled else None,
        reason=settled.reason if settled else None,
        settled_at=to_rfc3339(settled.at_ms) if settled else None,
    )


def _shown(
    operations: Operations,
    letter: Letter,
    original: Original,
    record: StoredRecord | None,
    *,
    hide: bool,
) -> LetterShown:
    found = operations.dead_letters.open_of(letter.service, letter.key)
    headers = {name: value.decode(errors="replace") for name, value in original.headers}
    kind, value = decoded(original.value)
    is_masked = hide and letter.origins[0].topic == ORDER_COMMANDS and kind != "none"
    if is_masked:
        is_masked, value = masked(kind, value)
    quarantine = record.quarantine if record else None
    return LetterShown(
        dead_letter=row_of(letter),
        format=kind,
        value=value,
        masked=is_masked,
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


def decoded(value: bytes | None) -> tuple[str, Any]:
    """A record's value as it can be shown: its format, and JSON values or text."""
    if value is None:
        return "none", None
    try:
        return "json", orjson.loads(value)
    except orjson.JSONDecodeError:
        pass
    try:
        return "text", value.decode()
    except UnicodeDecodeError:
        return "base64", base64.b64encode(value).decode()


def masked(kind: str, value: Any) -> tuple[bool, Any]:
    """Hide what a customer entered; all of what can't be read, for it may be that."""
    if kind != "json":
        return True, MASKED
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, dict):
        # Something else than a command of ours: nobody knows where personal data stands in it.
        return True, MASKED
    hidden = {name: MASKED for name in PERSONAL if name in data}
    return bool(hidden), {**value, "data": {**data, **hidden}}


def _act(acted: Acted, *, dry_run: bool) -> ActShown:
    return ActShown(
        dry_run=dry_run,
        refused=acted.is_refused,
        steps=tuple(map(_step, acted.steps)),
        quarantined=acted.is_quarantined,
        stopped=acted.stopped or None,
    )


def _step(step: Step) -> StepShown:
    return StepShown(
        dead_letter_id=step.letter.name,
        verdict=step.verdict,
        events=step.events,
        accepted=step.accepted,
        code=step.code or None,
        error=step.error or None,
        message=step.message or None,
    )
