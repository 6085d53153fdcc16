"""Dead letters over HTTP, for operators: list, show, rehearse, redrive, discard."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from models.dead_letter import DeadLetter, DeadLetterState
from models.errors import OperatorActionRefusedError
from web.http.decoding import whole_number
from web.http.params import MAX_OFFSET, Params, choice_param, limit_param, param
from web.http.problems import ProblemError
from web.http.route import AnyCall, Call, Owner
from web.ops.dead_letter_views import (
    DeadLetterDetail,
    DeadLetterList,
    DiscardBody,
    RedriveBody,
    SettlementView,
    dead_letter_view,
    row_of,
    settlement_view,
)

log = logging.getLogger("tiffin.web.dead_letters")

MAX_LISTED: Final = 500
ALL: Final = "ALL"
STATES: Final = f"{', '.join(DeadLetterState)} or {ALL}; {DeadLetterState.OPEN} by default"


class DeadLetterListParams(Params):
    """before: the first offset of the last one of the page before."""

    state: str = choice_param(
        (*DeadLetterState, ALL), STATES, accepted=STATES, default=DeadLetterState.OPEN
    )
    service: str | None = param(str, "the service that could not act on it")
    topic: str | None = param(str, "where it came from")
    order: str | None = param(str, "its key")
    limit: int = limit_param(50, MAX_LISTED)
    before: int = param(
        lambda text: whole_number(text, 0, MAX_OFFSET) if text else MAX_OFFSET,
        "`next` of the page before", default=MAX_OFFSET,
    )  # fmt: skip

    def wants(self, letter: DeadLetter) -> bool:
        """Whether a dead letter belongs to the list."""
        return (
            self.state in {ALL, letter.state}
            and self.service in {None, letter.service}
            and self.topic in {None, letter.origins[0].topic}
            and self.order in {None, letter.order_key}
        )


class DeadLetterParams(Params):
    """Of one dead letter."""

    personal: str = param(
        str, "true shows contact and address too; they are masked by default", default=""
    )


def counts_by_state(letters: Iterable[DeadLetter]) -> dict[str, int]:
    """How many dead letters there are of each state."""
    counts = Counter(letter.state for letter in letters)
    return {state.value: counts[state] for state in DeadLetterState}


async def list_dead_letters(call: Call[DeadLetterListParams, None]) -> DeadLetterList:
    """Dead letters, the latest first; open ones by default."""
    dead_letters, params = call.context.operations.dead_letters, call.params
    await dead_letters.caught_up()
    known = tuple(dead_letters.all())
    found = [letter for letter in known if params.wants(letter)]
    found.sort(key=lambda letter: -letter.first_offset)
    page = [letter for letter in found if letter.first_offset < params.before]
    return DeadLetterList(
        dead_letters=tuple(map(row_of, page[: params.limit])),
        total=len(found),
        counts=counts_by_state(known),
        next=str(page[params.limit - 1].first_offset) if len(page) > params.limit else None,
        left_out=dead_letters.left_out,
    )


async def find_dead_letter(call: AnyCall) -> DeadLetter:
    """The one in the path. Raises ProblemError (404), KafkaUnavailableError."""
    dead_letters = call.context.operations.dead_letters
    await dead_letters.caught_up()
    letter = dead_letters.get(call.id_of("dead_letter_id"))
    if letter is None:
        raise ProblemError("DEAD_LETTER_UNKNOWN")
    return letter


def owner_of_letter(call: AnyCall) -> Owner | None:
    """The owner of the dead letter's key, if it has one."""
    letter: DeadLetter = call.subject
    key = letter.order_key
    return None if key is None else Owner(letter.service, key)


async def show_dead_letter(call: Call[DeadLetterParams, None]) -> DeadLetterDetail:
    """One dead letter with the record that it was."""
    letter: DeadLetter = call.subject
    shows_people = call.params.personal == "true"
    operations, key = call.context.operations, letter.order_key
    original = await operations.dead_letters.original(letter)
    if shows_people:
        extra = {"by": call.identity.issued_by, "letter": letter.name}
        log.info("personal data of a dead letter shown", extra=extra)
    record = None if key is None else call.context.record(letter.service, key)
    return dead_letter_view(operations, letter, original, record, hide=not shows_people)


@contextmanager
def _refusals() -> Iterator[None]:
    """Answer a refused act with its code."""
    try:
        yield
    except OperatorActionRefusedError as refusal:
        raise ProblemError(refusal.code, refusal.detail) from None


async def redrive_dead_letter(call: Call[Params, RedriveBody]) -> SettlementView:
    """Send a dead letter to its origin again, and those behind it; refused if it would die again."""
    body = call.body
    with _refusals():
        acted = await call.context.operations.settling.redrive(
            call.subject,
            by=call.identity.issued_by,
            reason=body.reason,
            all_of_order=body.all_of_order,
            dry_run=body.dry_run,
        )
    return settlement_view(acted, dry_run=body.dry_run)


async def discard_dead_letter(call: Call[Params, DiscardBody]) -> SettlementView:
    """Give a dead letter up, with a reason; an order that nothing else holds goes on."""
    body = call.body
    with _refusals():
        acted = await call.context.operations.settling.discard(
            call.subject,
            by=call.identity.issued_by,
            reason=body.reason,
            redrive_rest=body.redrive_rest,
            dry_run=body.dry_run,
        )
    return settlement_view(acted, dry_run=body.dry_run)
