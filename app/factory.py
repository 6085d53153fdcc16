"""Makes a worker from its settings: a Faust app with all services, what runs beside them, web server."""

import asyncio
import functools
import gc
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import faust
import uvloop

from app.audit import publish_audit_event
from app.clock import BrokerClock
from app.configured_services import channels_of
from app.declaration import declare
from app.kafka.reader import KafkaReader
from app.kafka.security import KafkaSecurity
from app.kafka.sender import KafkaCommandSender
from app.logs import configure_logs
from app.metrics.admission import AdmissionMetrics
from app.metrics.engine import EngineMetrics
from app.metrics.orders import OrderDurations
from app.metrics.requests import CspMetrics, HttpMetrics, StripeMetrics
from app.metrics.worker import Metrics
from app.notifications.channels import MessageChannel
from app.notifications.contact_limit import ContactLimit
from app.notifications.mail import Mailer
from app.notifications.notifier import Notifier
from app.notifications.rendering import MessageRenderer, order_link
from app.notifications.sms import TwilioSms
from app.operators import Operators
from app.partitions.follower import GenerationFollower
from app.platform_identity import PlatformIdentity
from app.platform_level import PlatformLevel
from app.reconciliation.metrics import MoneyMetrics
from app.reconciliation.order_checks import EndedOrderChecks
from app.reconciliation.runner import RUNNER_PARTITION, Reconciliation, ReconciliationSchedule
from app.settings import Settings
from app.staff_revocations import StaffRevocations
from app.stripe.account_settings import account_client, expected_account
from app.stripe.account_watch import AccountWatch
from app.stripe.effects import EffectsService
from app.stripe.event_intake import EventIntake
from app.stripe.gateway import StripeGateway
from app.stripe.known_receipts import KnownReceipts
from app.stripe.owner_mark import OwnerMark
from app.stripe.reconciler import Reconciler
from app.task_runner import Background, Backoff
from app.timers import Timers
from app.web_wiring import mount_web
from app.worker import worker_class
from models import tracing
from models.events import EventType
from models.generations import Generation
from models.notification import Channel
from models.sender import CommandSender
from tables import ServiceRuntime, caught_up
from web.http.admission import Admission
from web.http.tokens import OrderTokens
from web.indexes.money import MoneyIndex

if TYPE_CHECKING:
    from app.traces import WorkerTracer


def create_app(settings: Settings, generation: Generation | None = None) -> faust.App:
    """Wire one worker. Raises SettingsError, CatalogueError.

    generation: of the platform's topics; by default the first.
    """
    uvloop.install()
    security = KafkaSecurity.of(settings)
    channels = _message_channels(settings)
    tracer = _tracer(settings)
    traced = {"traced": tracer.traced} if tracer else {}
    declared = declare(settings, frozenset(channels), generation=generation, **traced)
    generation = declared.generation
    app, runtime, catalogue = declared.app, declared.runtime, declared.catalogue
    configure = functools.partial(configure_logs, settings.log_format, settings.log_level)
    sender = KafkaCommandSender(settings.kafka_bootstrap, security, topic_name=generation.topic)
    kafka = KafkaReader(settings.kafka_bootstrap, security, topic_name=generation.topic)
    follower = GenerationFollower(kafka, generation, sender, settings.data_dir)
    identity = PlatformIdentity(sender, kafka)
    http_metrics, stripe_metrics, csp_metrics = HttpMetrics(), StripeMetrics(), CspMetrics()
    gateway = StripeGateway(
        settings.stripe_secret_key.get_secret_value(), base_url=settings.stripe_api_url,
        write_timeout_s=settings.stripe_write_timeout_s,
        read_timeout_s=settings.stripe_read_timeout_s, rate_per_s=settings.stripe_rate_per_s,
        mark=OwnerMark(
            settings.app_id, lambda: identity.ids, lambda: not identity.was_asked()
        ),
        answered=stripe_metrics.answered,
    )  # fmt: skip
    clock = BrokerClock(
        sender, worker=settings.canonical_url, partitions=generation.partitions,
        max_offset_s=settings.clock_most_off_s,
    )  # fmt: skip
    level = PlatformLevel(
        sender, kafka, identity, group=generation.group(settings.app_id),
        partitions=generation.partitions, now_ms=clock.now_ms, end_worker=runtime.end_worker,
    )  # fmt: skip
    runtime.use_levels(lambda: level.history)
    revocations = StaffRevocations(
        sender, kafka, identity, active=level.active, now_ms=clock.now_ms
    )

    async def prepare() -> None:
        await follower.prepare()
        await level.prepare()

    # Faust declares it as a form of types.
    app.conf.Worker = worker_class(  # type: ignore[assignment]
        configure, settings.kafka_bootstrap, prepare
    )
    runtime.remove_due_by(lambda: None if clock.reasons() or sender.held else clock.now_ms())
    engine_metrics = EngineMetrics(clock.now_s)
    runtime.on_commit_batch(engine_metrics.commit_batch)
    intake = EventIntake(
        gateway,
        functools.partial(publish_audit_event, sender, EventType.WEBHOOK_RECEIVED),
        KnownReceipts(runtime.tables["payments"].get).has,
        clock.now_s,
    )
    effects = EffectsService(
        gateway, sender, now_s=clock.now_s, clock_known=clock.synced,
        concurrency=settings.effects_concurrency, confirm_deadline_s=settings.confirm_deadline_s,
    )  # fmt: skip
    reconciler = Reconciler(
        gateway, sender, after_s=settings.reconcile_after_s,
        interval_s=settings.reconcile_interval_s, now_s=clock.now_s,
    )  # fmt: skip
    for listener in (effects, reconciler):
        runtime.tables["payments"].add_listener(listener)
    durations = OrderDurations()
    for name in ("payments", "orders"):
        runtime.tables[name].add_listener(durations)
    order_tokens = OrderTokens(settings.order_token_key.get_secret_value())
    link = order_link(order_tokens.link, settings.public_url or settings.canonical_url)
    notifier = Notifier(
        channels, MessageRenderer(catalogue.restaurants.values(), link, settings.default_language),
        runtime.tables["orders"].get, sender, concurrency=settings.notifier_concurrency,
        backoff=Backoff(settings.notification_first_pause_s, settings.notification_longest_pause_s),
        max_age_s=settings.notification_max_age_s, session_s=settings.session_timeout_s,
        contacts=ContactLimit(settings.notifications_per_contact_hour), now_s=clock.now_s,
    )  # fmt: skip
    runtime.tables["notifications"].add_listener(notifier)
    until = functools.partial(caught_up, runtime)
    timers = Timers(sender, until, clock_known=clock.synced, now_s=clock.earliest_now_s)
    runtime.tables["orders"].add_listener(timers)
    account = AccountWatch(
        functools.partial(account_client, settings),
        expected_account(
            settings, catalogue.currencies, now_s=clock.now_s, platform_ids=lambda: identity.ids
        ),
    )
    admission = Admission(
        max_delay_s=settings.admission_max_delay_s, stripe_wait_s=gateway.turn_of_create_s
    )
    operators = Operators(
        generation.group(settings.app_id), runtime, sender, effects, clock, kafka, admission,
        level=level, revocations=revocations,
        account_problem=lambda: "; ".join(filter(None, (account.problem(), identity.problem()))),
    )  # fmt: skip
    money = MoneyIndex(
        runtime.tables["payments"], runtime.tables["orders"],
        grace_s=settings.reconciliation_grace_s, now_s=clock.now_s,
    )  # fmt: skip
    reconciliation = _reconciliation(
        settings, runtime, gateway, intake, sender, kafka, clock, identity
    )  # fmt: skip
    letters = operators.dead_letters
    metrics = Metrics(
        runtime, lambda: runtime.ready() and not clock.reasons(), clock, effects, reconciler,
        notifier, timers, letters, operators, intake, account, MoneyMetrics(money, reconciliation),
        AdmissionMetrics(admission), engine_metrics, http_metrics, csp_metrics, stripe_metrics,
        durations,
    )  # fmt: skip
    mount_web(
        settings, catalogue, runtime, gateway, intake, sender, operators, declared.topics,
        money=money, reconciliation=reconciliation, metrics=metrics, admission=admission, clock=clock,
        revoked=revocations.revoked,
        answered=http_metrics.answered, csp_reported=csp_metrics.reported,
        order_tokens=order_tokens,
        payment_methods=declared.payment_methods,
    )  # fmt: skip
    _add_background(
        app,
        configure,
        parts=(
            follower, identity, level, revocations, clock, notifier, timers, reconciler, effects,
            reconciliation, letters, account, EndedOrderChecks(runtime.tables["payments"], money),
        ),
        close_last=(
            sender.stop, gateway.close,
            *((functools.partial(asyncio.to_thread, tracer.close),) if tracer else ()),
        ),
    )  # fmt: skip
    return app


def _tracer(settings: Settings) -> "WorkerTracer | None":
    """What makes this worker's spans; None where traces are off, as they are by default."""
    if not settings.traces:
        return None
    from app.traces import WorkerTracer  # noqa: PLC0415 -- its libraries take a quarter of a second

    tracer = WorkerTracer(settings.canonical_url)
    tracing.switch_on(tracer)
    return tracer


def _message_channels(settings: Settings) -> dict[Channel, MessageChannel]:
    """A channel is missing where its settings are."""
    channels: dict[Channel, MessageChannel] = {}
    wanted = channels_of(settings)
    if Channel.EMAIL in wanted:
        assert settings.smtp_host
        assert settings.mail_from
        password = settings.smtp_password
        channels[Channel.EMAIL] = Mailer(
            settings.smtp_host, settings.smtp_port, security=settings.smtp_security,
            user=settings.smtp_user, password=password.get_secret_value() if password else None,
            sender=settings.mail_from, timeout_s=settings.smtp_timeout_s,
        )  # fmt: skip
    if Channel.SMS in wanted:
        assert settings.twilio_account_sid
        assert settings.twilio_auth_token
        assert settings.sms_from
        channels[Channel.SMS] = TwilioSms(
            settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value(),
            sender=settings.sms_from, timeout_s=settings.sms_timeout_s,
            api_url=settings.twilio_api_url,
        )  # fmt: skip
    return channels


def _reconciliation(
    settings: Settings,
    runtime: ServiceRuntime,
    gateway: StripeGateway,
    intake: EventIntake,
    sender: CommandSender,
    kafka: KafkaReader,
    clock: BrokerClock,
    identity: PlatformIdentity,
) -> Reconciliation:
    payments = runtime.tables["payments"]
    schedule = ReconciliationSchedule(
        interval_s=settings.reconciliation_interval_s, grace_s=settings.reconciliation_grace_s,
        totals_interval_s=settings.reconciliation_totals_interval_s,
        orphan_grace_s=settings.orphan_grace_s, days=settings.reconciliation_days,
    )  # fmt: skip
    return Reconciliation(
        gateway, intake, sender, kafka, schedule=schedule, now_s=clock.now_s,
        take_back=identity.take_back,
        # Not before it is known which of the account's objects are ours, if Kafka can tell.
        is_runner=lambda: identity.was_asked() and RUNNER_PARTITION in payments.open_partitions(),
    )  # fmt: skip


def _add_background(
    app: faust.App,
    configure: Callable[[], None],
    parts: Sequence[Background],
    close_last: Sequence[Callable[[], Awaitable[None]]],
) -> None:
    """parts: in the order in which they start; they stop in reverse. close_last: what they send through."""

    class WorkerParts(faust.Service):
        """What runs beside the agents, from the worker's start to its end."""

        async def on_start(self) -> None:
            configure()  # Kafka is there: aiokafka may warn again
            for part in parts:
                part.start()
            # What is there by now stays: a full collection, which holds everything up for as long as
            # it looks at all objects, need not look at these.
            gc.collect()
            gc.freeze()

        async def on_stop(self) -> None:
            for part in reversed(parts):
                await part.stop()
            for close in close_last:
                await close()

    app.service(WorkerParts)
