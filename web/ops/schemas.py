"""What the operators' routes take and answer."""

from typing import Any, ClassVar

from pydantic import Field

from models.messages import Message
from web.http.bodies import Body
from web.ops.stopped import StoppedPartition


class DeadLetterRow(Message):
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


class DeadLetterList(Message):
    """The latest first.

    total: how many the filters leave. counts: by state, without filters. next: the `before` of the next
    page. leftOut: open ones that show up only as others are settled.
    """

    dead_letters: tuple[DeadLetterRow, ...]
    total: int
    counts: dict[str, int]
    next: str | None = None
    left_out: int


class Quarantined(Message):
    """Why an order's inputs are turned away. firstDeadLetterId: what has to be settled first."""

    reason: str
    since: str
    turned_away: int
    first_dead_letter_id: str | None = None


class DeadLetterDetail(Message):
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


class RedriveStepView(Message):
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


class SettlementView(Message):
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


class LagRow(Message):
    """A service's way through one partition of one topic. end: Kafka's; next: what it takes next.

    lag: records that are not durable yet. backlog: of them, those fetched, over all topics of the
    service. next, lag and backlog are not known of partitions that are `incomplete`.
    """

    service: str
    next: int | None = None
    lag: int | None = None
    backlog: int | None = None
    paused: bool = False


class TopicLag(Message):
    """One partition of an input topic. committed: of the workers' group, at the slowest service's."""

    topic: str
    partition: int
    end: int
    committed: int | None = None
    lag: int
    services: tuple[LagRow, ...]


class LagView(Message):
    """total: the sum of the slowest services' lags. incomplete: partitions that nobody answered for.

    stopped: partitions that are read no further until an operator acts.
    """

    stopped: tuple[StoppedPartition, ...] = ()
    partitions: tuple[TopicLag, ...]
    total: int
    incomplete: tuple[int, ...]


class WorkerView(Message):
    """One worker and what it owns."""

    url: str
    partitions: tuple[int, ...]
    started_at: str
    effects_pending: int
    stripe_errors: dict[str, int]


class Concern(Message):
    """Something that is not as it should be. where: the list that tells more."""

    code: str
    detail: str
    where: str


class Overview(Message):
    """healthy: nothing is of concern. brokenInvariants: code -> orders of which it does not hold.

    differences: objects whose money differs from Stripe's.
    """

    healthy: bool
    concerns: tuple[Concern, ...]
    at: str
    workers: tuple[WorkerView, ...]
    lag: int
    stuck: dict[str, int]
    dead_letters: dict[str, int]
    effects_pending: int
    stripe_errors: int
    broken_invariants: dict[str, int]
    differences: int
    incomplete: tuple[int, ...]


class AuditView(Message):
    """Events of the audit, the latest first. scanned: records looked at for this page. next: older ones."""

    entries: tuple[dict[str, Any], ...]
    scanned: int
    next: str | None = None


class SearchBody(Body):
    """What to look for."""

    may_hold_ids: ClassVar[bool] = True
    q: str = Field(
        min_length=3,
        max_length=100,
        description="3 to 100 characters: an order's reference or id; an id of a payment, event, command, "
        "refund or message, or Stripe's of an object or event; a customer's email, telephone number or "
        "name; an amount; the last four digits of a card",
    )


class FoundOrder(Message):
    """An order that was looked for. by: as what the text was found: "reference", "order", "id", "email"...

    amount: minor units. placedAt: of one that a customer placed.
    """

    order_id: str
    reference: str
    by: tuple[str, ...]
    status: str
    amount: int
    currency: str
    restaurant_id: str
    placed_at: str | None = None


class SearchView(Message):
    """The latest first. isCut: there are more. incomplete: partitions that did not answer."""

    orders: tuple[FoundOrder, ...]
    is_cut: bool
    incomplete: tuple[int, ...]
