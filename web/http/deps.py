"""The dependencies of web/, filled in by app/."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from yarl import URL

from models.commands import WebhookReceived
from models.dead_letter import DeadLetter, OriginalRecord, RecordLocation, RedriveResult
from models.levels import Build, LevelHistory
from models.operations import AuditFilter, AuditPage, Offsets, WorkerStatus
from models.payment_methods import DEFAULT_METHODS, OfferedMethods
from models.reconciliation import ReconciliationReport
from models.sender import CommandSender
from models.topics import TopicUse
from tables import InputPosition, PartitionStop, StateTable
from web.catalogue import Catalogue
from web.http.admission import Admission
from web.http.rate_limits import ClientLimits
from web.http.revoked_tokens import Revocation
from web.http.staff_sessions import StaffSessions
from web.http.tokens import DevelopmentStaff, Identity, OrderTokens, StaffVerifier
from web.indexes.money import MoneyIndex
from web.indexes.waiting import WaitingIndex

BODY_LIMIT_BYTES = 64 * 1024
RequestAnswered = Callable[[str, str, int, float, str], None]
"""Method, template of the route, status, seconds, and the trace's id, "" where traces are off."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a request may take, in seconds.

    command_s: until a command's outcome is stored, and Stripe has opened a payment.
    confirm_s: until a confirm has its result. consistency_s: until a read holds a write.
    forward_connect_s, forward_idle_s: to reach the owner, and between two chunks of its answer.
    gather_s: until every worker has answered for its partitions.
    """

    command_s: float = 10.0
    confirm_s: float = 25.0
    consistency_s: float = 5.0
    forward_connect_s: float = 2.0
    forward_idle_s: float = 60.0
    gather_s: float = 5.0


@dataclass(frozen=True, slots=True)
class StripeOrigins:
    """Where a page that takes a card loads Stripe.js from, and what its policy lets Stripe.js reach.

    Stripe.js is of the same release as the API that the SDK speaks; it must come from Stripe itself.
    """

    script_url: str = "https://js.stripe.com/endive/stripe.js"
    script: Sequence[str] = ("https://js.stripe.com", "https://*.js.stripe.com")
    connect: Sequence[str] = ("https://api.stripe.com",)
    frame: Sequence[str] = (
        "https://js.stripe.com", "https://*.js.stripe.com", "https://hooks.stripe.com"
    )  # fmt: skip

    @classmethod
    def stand_in(cls, base_url: str) -> Self:
        """Of the sandbox's stand-in."""
        own = (str(URL(base_url).origin()),)
        return cls(f"{base_url.rstrip('/')}/v3/stripe.js", own, own, own)


class DeadLetters(Protocol):
    """All dead letters. Methods raise KafkaUnavailableError."""

    @property
    def left_out(self) -> int:
        """Open ones that are more than can be held here; they show up as others are settled."""

    async def caught_up(self) -> None:
        """Return once everything that Kafka had at the call is known here."""

    def all(self) -> Iterable[DeadLetter]:
        """In the order in which they came."""

    def get(self, name: str) -> DeadLetter | None:
        """By name."""

    def open_for_key(self, service: str, key: bytes | None) -> list[DeadLetter]:
        """The open ones of one key and service, in the order in which they are to be redriven."""

    async def original(self, letter: DeadLetter) -> OriginalRecord:
        """The record as it was sent."""


class DeadLetterActions(Protocol):
    """What operators do with dead letters, at the worker that owns the key.

    Methods raise OperatorActionRefusedError, KafkaUnavailableError, NotOwnerError and NotReadyError.
    """

    async def redrive(
        self, letter: DeadLetter, *, by: str, reason: str, all_of_order: bool, dry_run: bool
    ) -> RedriveResult:
        """Send it to its origin again, and those of its order and service behind it."""

    async def discard(
        self, letter: DeadLetter, *, by: str, reason: str, redrive_rest: bool, dry_run: bool
    ) -> RedriveResult:
        """Give it up, and let its order go on if nothing else holds it."""


class SignIn(Protocol):
    """Staff's sign-in at the platform's identity provider. Methods raise UnavailableError."""

    async def begin(self, target: str) -> tuple[str, str]:
        """Where to send the browser, and a cookie for it. target: the path to go on to afterwards."""

    async def finish(self, cookie: str, state: str, code: str) -> tuple[Identity, str]:
        """Who signed in, and the path to go on to. Raises BadTokenError."""


class StoppedPartitions(Protocol):
    """Partitions of this worker that are read no further until an operator acts."""

    def all(self) -> Sequence[PartitionStop]:
        """All of them."""

    async def skip(
        self,
        topic: str,
        partition: int,
        offset: int,
        service: str | None,
        *,
        by: str,
        reason: str,
        is_retry: bool,
        dry_run: bool,
    ) -> PartitionStop:
        """Go on behind what can't be read, or at it; gives what was stopped. service: None: any.

        Raises NotStoppedError, KafkaUnavailableError.
        """


class Revocations(Protocol):
    """Tokens of staff that are not taken any more."""

    def all(self) -> Iterable[Revocation]:
        """Those that count, the latest first."""

    async def revoke(self, revocation: Revocation) -> None:
        """Revoke, and put it into the audit. Raises KafkaUnavailableError."""


class PlatformLevels(Protocol):
    """The platform's level (models/levels.py). Methods raise KafkaUnavailableError."""

    @property
    def history(self) -> LevelHistory:
        """All levels that it had, as known here."""

    async def builds(self) -> Sequence[Build]:
        """What each live worker runs."""

    async def finish(self, level: int, *, by: str, reason: str) -> None:
        """Raise the level, and put it into the audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDeps:
    """Everything that the operators' routes are given.

    positions: of this worker's engines. offsets: of every input topic's partitions; raises
    KafkaUnavailableError. audit: so many of the latest acts and refusals, from these ends on; likewise. A
    page looks at a bounded number of records, so it may show few acts, or none, and go on.
    records: key and value of the records at these places, those that are gone left out; raises likewise.
    audit_search: who looked for orders by which kinds of personal data, and how many were found; returns
    when Kafka has it, and raises likewise.
    """

    dead_letters: DeadLetters
    settling: DeadLetterActions
    stopped: StoppedPartitions
    positions: Callable[[], Sequence[InputPosition]]
    offsets: Callable[[], Awaitable[Mapping[tuple[str, int], Offsets]]]
    audit: Callable[[int, Mapping[str, int], AuditFilter], Awaitable[AuditPage]]
    worker: Callable[[], WorkerStatus]
    audit_search: Callable[[str, Sequence[str], int], Awaitable[None]]
    level: PlatformLevels
    records: Callable[
        [Sequence[RecordLocation]], Awaitable[Mapping[RecordLocation, tuple[bytes, bytes]]]
    ]
    revocations: Revocations


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDeps:
    """Everything that web/ is given.

    tables: by service name; orders, payments and timeline must be there, deliveries may be.
    client_secret: payment intent id -> client secret. Raises UnavailableError.
    verify_webhook: checks Stripe-Signature over the payload. Raises InvalidSignatureError.
    reduce_webhook: reduces a verified event; None for a type that nobody asked for or an order
        that can't be found. Raises UnavailableError when Stripe must be asked and can't.
    answered: is told of each request that was answered.
    csp_reported: directive, page, how many times browsers say that a policy blocked something there.
    admission: which new orders and confirms are taken on.
    ready: reasons why this worker is not ready; empty when it is.
    webhook_tolerance_s: how old a webhook's signature may be.
    metrics: Accept header -> metrics as Prometheus reads them, and their content type. metrics_token:
        which it takes; None: none.
    staff: verifies the tokens of operators, kitchens and couriers; None refuses them all.
    allowed_origins: further origins ("https://shop.example") whose pages may post with a cookie.
    public_url: where customers reach the application; None takes it from the request.
    default_language: of readers who name none that we have. secure_cookies: over HTTPS alone.
    own_url: this worker's canonical URL: it never forwards to itself.
    stripe_intent: payment intent id -> Stripe's object as JSON values, without its secret; None where
        pages don't show it. Raises UnavailableError.
    is_sandbox: pages say so, and offer the development login.
    development_login: hands out staff tokens to anybody; None wherever that is not the sandbox.
    sign_in, staff_sessions: at the identity provider, and what is issued then; None: a token is pasted.
    topics: all of Kafka's, with who writes and reads them.
    caught_up: services, partition -> returns once they have decided all that their inputs held at
        the call; however long that takes.
    courier_limit: deliveries at a time. asks_delivery_code: customers have a code for the courier.
    operations: None where there are no routes of operators.
    now_ms: Kafka's clock, by which records are stamped; milliseconds since the epoch.
    reconciliation: what the latest runs found, at the worker that runs it; None elsewhere.
    """

    catalogue: Catalogue
    tables: Mapping[str, StateTable]
    topics: tuple[TopicUse, ...]
    sender: CommandSender
    client_secret: Callable[[str], Awaitable[str]]
    verify_webhook: Callable[[bytes, str], None]
    reduce_webhook: Callable[[Mapping[str, Any]], Awaitable[WebhookReceived | None]]
    ready: Callable[[], Sequence[str]]
    money: MoneyIndex
    order_tokens: OrderTokens
    publishable_key: str
    payment_methods: OfferedMethods = DEFAULT_METHODS
    livemode: bool
    webhook_tolerance_s: float = 300
    staff: StaffVerifier | None = None
    metrics: Callable[[str], tuple[bytes, str]] | None = None
    metrics_token: str | None = None
    answered: RequestAnswered = lambda *_: None
    csp_reported: Callable[[str, str, int], None] = lambda *_: None
    admission: Admission = field(default_factory=Admission)
    bounds: Bounds = field(default_factory=Bounds)
    client_limits: ClientLimits = field(default_factory=ClientLimits)
    body_limit_bytes: int = BODY_LIMIT_BYTES
    allowed_origins: Sequence[str] = ()
    public_url: str | None = None
    secure_cookies: bool = False
    default_language: str = "en"
    own_url: URL | None = None
    stripe_js: StripeOrigins = field(default_factory=StripeOrigins)
    stripe_intent: Callable[[str], Awaitable[Mapping[str, Any]]] | None = None
    is_sandbox: bool = False
    development_login: DevelopmentStaff | None = None
    sign_in: SignIn | None = None
    staff_sessions: StaffSessions | None = None
    caught_up: Callable[[tuple[str, ...], int], Awaitable[None]] | None = None
    courier_limit: int = 1
    asks_delivery_code: bool = False
    operations: OperatorDeps | None = None
    waiting: WaitingIndex = field(default_factory=WaitingIndex)
    reconciliation: Callable[[], ReconciliationReport | None] = lambda: None
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
