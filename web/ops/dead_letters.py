"""Dead letters over HTTP, for operators: list, show, rehearse, redrive, discard."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from models.dead_letter import DeadLetter, DeadLetterState, RedriveResult, RedriveStep
from models.errors import OperatorActionRefusedError
from models.generations import base_topic
from models.topics import ORDER_COMMANDS
from models.tracing import TRACEPARENT
from web.api.views import view_of
from web.http.decoding import whole_number
from web.http.params import MAX_OFFSET, Params, choice_param, limit_param, param
from web.http.problems import ProblemError
from web.http.redaction import redacted_header, shown
from web.http.route import AnyCall, Call, Owner
from web.ops import dead_letter_views as views

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
            and self.topic in {None, base_topic(letter.origins[0].topic)}
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


async def list_dead_letters(call: Call[DeadLetterListParams, None]) -> views.DeadLetterList:
    """Dead letters, the latest first; open ones by default."""
    dead_letters, params = call.context.operations.dead_letters, call.params
    await dead_letters.caught_up()
    known = tuple(dead_letters.all())
    found = [letter for letter in known if params.wants(letter)]
    found.sort(key=lambda letter: -letter.first_offset)
    page = [letter for letter in found if letter.first_offset < params.before]
    return views.DeadLetterList(
        dead_letters=tuple(map(views.row_of, page[: params.limit])),
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


async def show_dead_letter(call: Call[DeadLetterParams, None]) -> views.DeadLetterDetail:
    """One dead letter with the record that it was."""
    letter: DeadLetter = call.subject
    shows_people = call.params.personal == "true"
    dead_letters, key = call.context.operations.dead_letters, letter.order_key
    original = await dead_letters.original(letter)
    if shows_people:
        extra = {"by": call.identity.issued_by, "letter": letter.name}
        log.info("personal data of a dead letter shown", extra=extra)
    record = None if key is None else call.context.record(letter.service, key)
    found, quarantine = dead_letters.open_for_key(letter.service, letter.key), None
    if record is not None and record.quarantine is not None:
        quarantine = view_of(
            views.Quarantined,
            record.quarantine,
            turned_away=record.quarantine.dead_lettered,
            first_dead_letter_id=found[0].name if found else None,
        )
    has_people = base_topic(letter.origins[0].topic) == ORDER_COMMANDS
    value = shown(original.value, hides_people=has_people and not shows_people)
    headers = {name: redacted_header(name, value) for name, value in original.headers}
    return view_of(
        views.DeadLetterDetail,
        value,
        dead_letter=views.row_of(letter),
        bytes=None if original.value is None else len(original.value),
        masked=value.is_masked,
        omitted_bytes=letter.omitted_bytes or None,
        headers=headers,
        traceparent=headers.get(TRACEPARENT),
        quarantine=quarantine,
        others=tuple(other.name for other in found if other is not letter),
    )


async def redrive_dead_letter(call: Call[Params, views.RedriveBody]) -> views.SettlementView:
    """Send a dead letter to its origin again, and those behind it; refused if it would die again."""
    redrive = call.context.operations.settling.redrive
    return await _settle(call, redrive, all_of_order=call.body.all_of_order)


async def discard_dead_letter(call: Call[Params, views.DiscardBody]) -> views.SettlementView:
    """Give a dead letter up, with a reason; an order that nothing else holds goes on."""
    discard = call.context.operations.settling.discard
    return await _settle(call, discard, redrive_rest=call.body.redrive_rest)


async def _settle(
    call: AnyCall, act: Callable[..., Awaitable[RedriveResult]], **options: bool
) -> views.SettlementView:
    """Answers a refused act with its code."""
    body = call.body
    try:
        acted = await act(
            call.subject,
            by=call.identity.issued_by,
            reason=body.reason,
            dry_run=body.dry_run,
            **options,
        )
    except OperatorActionRefusedError as refusal:
        raise ProblemError(refusal.code, refusal.detail) from None
    return views.SettlementView(
        dry_run=body.dry_run,
        refused=acted.is_refused,
        steps=tuple(map(_step, acted.steps)),
        quarantined=acted.is_quarantined,
        stopped=acted.stopped or None,
    )


def _step(step: RedriveStep) -> views.RedriveStepView:
    told: dict[str, Any] = {
        name: getattr(step, name) or None for name in ("code", "error", "message")
    }
    return view_of(views.RedriveStepView, step, dead_letter_id=step.letter.name, **told)
