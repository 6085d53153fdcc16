"""Dead letters over HTTP, for operators: list, show, rehearse, redrive, discard."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from models.dead_letter import DeadLetter, DeadLetterState
from models.errors import OperatorActionRefusedError
from tables import StoredRecord
from web.http import auth
from web.http.bodies import read_json
from web.http.commands import json_response
from web.http.context import CONTEXT, Context
from web.http.operator_deps import OperatorDeps
from web.http.params import MAX_OFFSET, count_of, limit_of
from web.http.problems import ProblemError
from web.http.tokens import Identity, Role
from web.ops.dead_letter_views import dead_letter_view, row_of, settlement_view
from web.ops.schemas import DeadLetterList, DiscardBody, RedriveBody

log = logging.getLogger("tiffin.web.dead_letters")

MAX_LISTED: Final = 500
ALL: Final = "ALL"
LIST_QUERY: Final = {
    "state": f"{', '.join(DeadLetterState)} or {ALL}; {DeadLetterState.OPEN} by default",
    "service": "the service that could not act on it",
    "topic": "where it came from",
    "order": "its key",
    "limit": f"at most so many, 1 to {MAX_LISTED}; 50 by default",
    "before": "`next` of the page before",
}
SHOW_QUERY: Final = {"personal": "true shows contact and address too; they are masked by default"}


async def list_dead_letters(request: web.Request) -> web.Response:
    """Dead letters, the latest first; open ones by default."""
    operations = await _operations(request)
    query, limit = request.query, limit_of(request, 50, MAX_LISTED)
    state = query.get("state", DeadLetterState.OPEN)
    if state not in {*DeadLetterState, ALL}:
        raise ProblemError(
            "VALIDATION_FAILED", errors=[("state", f"accepted: {LIST_QUERY['state']}")]
        )
    before = count_of(request, "before", MAX_OFFSET) if query.get("before") else MAX_OFFSET
    await operations.dead_letters.caught_up()
    counts = dict.fromkeys(DeadLetterState, 0)
    found: list[DeadLetter] = []
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
    page = [letter for letter in found if letter.first_offset < before]
    answer = DeadLetterList(
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
    forwarded = await _forwarded_to_owner(context, request, letter)
    if forwarded is not None:
        return forwarded
    original = await operations.dead_letters.original(letter)
    hide = request.query.get("personal") != "true"
    if not hide:
        by = (await _operator(request)).issued_by
        log.info("personal data of a dead letter shown", extra={"by": by, "letter": letter.name})
    return json_response(
        dead_letter_view(operations, letter, original, _record(context, letter), hide=hide)
    )


async def redrive_dead_letter(request: web.Request) -> web.StreamResponse:
    """Send a dead letter to its origin again, and those behind it; refused if it would die again."""
    context = request.app[CONTEXT]
    operations, identity = await _operations(request), await _operator(request)
    body = await read_json(request, RedriveBody, context.deps.body_limit_bytes, may_be_empty=True)
    letter = await _letter(request, operations)
    forwarded = await _forwarded_to_owner(context, request, letter)
    if forwarded is not None:
        return forwarded
    with _refusals():
        acted = await operations.settling.redrive(
            letter,
            by=identity.issued_by,
            reason=body.reason,
            all_of_order=body.all_of_order,
            dry_run=body.dry_run,
        )
    return json_response(settlement_view(acted, dry_run=body.dry_run))


async def discard_dead_letter(request: web.Request) -> web.StreamResponse:
    """Give a dead letter up, with a reason; an order that nothing else holds goes on."""
    context = request.app[CONTEXT]
    operations, identity = await _operations(request), await _operator(request)
    body = await read_json(request, DiscardBody, context.deps.body_limit_bytes)
    letter = await _letter(request, operations)
    forwarded = await _forwarded_to_owner(context, request, letter)
    if forwarded is not None:
        return forwarded
    with _refusals():
        acted = await operations.settling.discard(
            letter,
            by=identity.issued_by,
            reason=body.reason,
            redrive_rest=body.redrive_rest,
            dry_run=body.dry_run,
        )
    return json_response(settlement_view(acted, dry_run=body.dry_run))


@contextmanager
def _refusals() -> Iterator[None]:
    """Answer a refused act with its code."""
    try:
        yield
    except OperatorActionRefusedError as refusal:
        raise ProblemError(refusal.code, refusal.detail) from None


async def _operator(request: web.Request) -> Identity:
    return await auth.authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)


async def _operations(request: web.Request) -> OperatorDeps:
    """For operators alone. Raises ProblemError (401, 403, 404)."""
    await _operator(request)
    operations = request.app[CONTEXT].deps.operations
    if operations is None:
        raise ProblemError("NOT_FOUND")
    return operations


async def _letter(request: web.Request, operations: OperatorDeps) -> DeadLetter:
    await operations.dead_letters.caught_up()
    letter = operations.dead_letters.get(request.match_info["dead_letter_id"])
    if letter is None:
        raise ProblemError("DEAD_LETTER_UNKNOWN")
    return letter


async def _forwarded_to_owner(
    context: Context, request: web.Request, letter: DeadLetter
) -> web.StreamResponse | None:
    """The owner's answer, if the letter's key is another worker's; None too if it is nobody's."""
    table, key = context.tables.get(letter.service), letter.order_key
    if table is None or key is None:
        return None
    return await context.forwarder.forwarded(request, key, table)


def _record(context: Context, letter: DeadLetter) -> StoredRecord | None:
    key = letter.order_key
    return None if key is None else context.record(letter.service, key)
