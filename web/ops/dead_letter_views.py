"""What operators are shown of a dead letter, its record, and what was done with it."""

from typing import Any

from pydantic import Field

from models import ids
from models.dead_letter import DeadLetter
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.bodies import Body


class DeadLetterRow(ApiModel):
    """One dead letter.

    deadLetterId: stable over redrives. topic, partition, offset: of the original. orderId: its key, if
    it is one; key: its text. quarantined: it was turned away because of its order's quarantine, or led
    to it. deaths: how often it died. by, reason, settledAt: of the operator who redrove or discarded it.
    """

    dead_letter_id: str
    state: str
    service: str
    topic: str
    partition: int
    offset: int
    key: str | None = None
    order_id: str | None = None
    error: str
    message: str
    died_at: str
    deaths: int
    quarantined: bool
    by: str | None = None
    reason: str | None = None
    settled_at: str | None = None


class DeadLetterList(ApiModel):
    """The latest first.

    total: how many the filters leave. counts: by state, without filters. next: the `before` of the next
    page. leftOut: open ones that show up only as others are settled.
    """

    dead_letters: tuple[DeadLetterRow, ...]
    total: int
    counts: dict[str, int]
    next: str | None = None
    left_out: int


class Quarantined(ApiModel):
    """Why an order's inputs are turned away. firstDeadLetterId: what has to be settled first."""

    reason: str
    since: str
    turned_away: int
    first_dead_letter_id: str | None = None


class DeadLetterDetail(ApiModel):
    """A dead letter and the record that it was.

    format: of value; "json", "text", "base64", "hex" (its first bytes, the rest is hidden), or "none" when
    there is none (any more). bytes: its size; of more than 65536 the first are
    shown, as text or base64. masked: something is hidden in it: personal data, or a
    secret. others: ids of the order's open dead letters of the same service, in order.
    """

    dead_letter: DeadLetterRow
    format: str
    value: Any = None
    bytes: int | None = None
    masked: bool
    omitted_bytes: int | None = None
    headers: dict[str, str]
    traceparent: str | None = None
    quarantine: Quarantined | None = None
    others: tuple[str, ...]


class RedriveBody(Body):
    """What to redrive."""

    reason: str = Field("", max_length=200, description="up to 200 characters: why")
    dry_run: bool = Field(default=False, description="true: tell what would happen, do nothing")
    all_of_order: bool = Field(
        default=True,
        description="false: this one alone; true: all open ones of its order and service, in order",
    )


class DiscardBody(Body):
    """What to give up."""

    reason: str = Field(min_length=1, max_length=200, description="1 to 200 characters: why")
    dry_run: bool = Field(default=False, description="true: tell what would happen, do nothing")
    redrive_rest: bool = Field(
        default=False, description="true: redrive the order's other open ones afterwards"
    )


class RedriveStepView(ApiModel):
    """verdict: DECIDED, DUPLICATE (nothing left to do) or DEAD; none of one that was discarded.

    events: types of what it leads to. accepted, code: of a command's outcome. error, message: why it
    dies.
    """

    dead_letter_id: str
    verdict: str | None = None
    events: tuple[str, ...] = ()
    accepted: bool | None = None
    code: str | None = None
    error: str | None = None
    message: str | None = None


class SettlementView(ApiModel):
    """What was done, or would be.

    refused: of a rehearsal: it would be refused, nothing would change. quarantined: whether the order is,
    in that service, afterwards; of a rehearsal: would be. stopped: why not all was done, or would be. The
    rehearsal of a discard says first what a redrive of the dead letter would lead to.
    """

    dry_run: bool
    refused: bool
    steps: tuple[RedriveStepView, ...]
    quarantined: bool
    stopped: str | None = None


def row_of(letter: DeadLetter) -> DeadLetterRow:
    """Show a dead letter in a list."""
    key = letter.order_key
    return view_of(
        DeadLetterRow,
        letter.origins[0],
        letter,
        letter.settled,
        dead_letter_id=letter.name,
        key=key,
        order_id=key if key is not None and ids.is_order_id(key) else None,
        died_at=letter.dead_lettered_ms,
        deaths=len(letter.origins),
        quarantined=letter.number > 0,
        settled_at=letter.settled.at_ms if letter.settled else None,
    )
