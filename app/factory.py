"""The whole wiring but that of web/: settings in, a Faust app with runtime, effects and web out."""

import functools
import gc
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import faust
import uvloop

import agents
from agents.notifications import NotificationPolicy
from agents.orders.transitions import Deadlines
from agents.service import topic_uses
from app.cli import (
    audit,
    completion,
    dead_letters,
    main,
    notifications,
    skip,
)
from app.clock import BrokerClock
from app.kafka.security import KafkaSecurity
from app.kafka.sender import CommandSender
from app.logs import configure_logs
from app.metrics import Metrics
from app.notifications.channels import MessageChannel
from app.notifications.contact_limit import ContactLimit
from app.notifications.mail import Mailer
from app.notifications.notifier import Notifier
from app.notifications.rendering import MessageRenderer, order_link
from app.notifications.sms import TwilioSms
from app.operators import Operators
from app.reconciliation.monitor import MoneyMonitor
from app.settings import Settings, SettingsError, load_settings
from app.stripe.effects import EffectsService
from app.stripe.gateway import StripeGateway
from app.stripe.reconciler import Reconciler
from app.timers import Timers
from app.web_wiring import mount_web
from models.notification import Channel
from models.topics import DEAD_LETTERS
from tables import ServiceRuntime, make_app
from tables.catch_up import CatchUp
from web.catalogue import FOLDER, CatalogueError, load_catalogue
from web.http.tokens import OrderTokens

BODY_SLACK_BYTES: Final = 1024
"""Above the body limit, so that our own message is given and not aiohttp's."""


@functools.cache
def worker_app() -> faust.App:
    """Make the app of `faust -A app`; wrong settings or a wrong catalogue end the process, named."""
    try:
        return create_app(load_settings())
    except (SettingsError, CatalogueError) as error:
        print(error, file=sys.stderr)  # noqa: T201 -- before there are logs
        sys.exit(SettingsError.exit_status)


def create_app(settings: Settings) -> faust.App:
    """Wire one worker. Raises CatalogueError."""
    uvloop.install()
    security = KafkaSecurity.of(settings)
    app = make_app(
        settings.app_id,
        broker=";".join(f"kafka://{host}" for host in settings.kafka_bootstrap.split(",")),
        datadir=settings.data_dir,
        partitions=settings.partitions,
        replication=settings.replication_factor,
        session_timeout_s=settings.session_timeout_s,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        rebalance_timeout_s=settings.rebalance_timeout_s,
        instance_id=settings.group_instance_id,
        standby_replicas=settings.standby_replicas,
        broker_credentials=security.faust(),
        web_bind=settings.web_host,
        web_host=settings.web_host,
        web_port=settings.web_port,
        canonical_url=settings.canonical_url,
        web_application_options={"client_max_size": settings.body_limit_bytes + BODY_SLACK_BYTES},
    )
    deadlines = Deadlines(
        payment_ms=int(settings.payment_deadline_s * 1000),
        kitchen_ms=int(settings.kitchen_deadline_s * 1000),
    )
    catalogue = load_catalogue(settings.catalogue_dir or FOLDER)
    channels = _channels(settings)
    policy = NotificationPolicy(
        frozenset(channels),
        settings.notification_tries,
        int(settings.notification_repeat_after_s * 1000),
    )
    services = agents.services(deadlines, policy)
    runtime = ServiceRuntime(
        app,
        services,
        dead_letter_topic=DEAD_LETTERS,
        partitions=settings.partitions,
        admin={"bootstrap.servers": settings.kafka_bootstrap, **security.librdkafka()},
    )
    gateway = StripeGateway(
        settings.stripe_secret_key.get_secret_value(),
        base_url=settings.stripe_api_url,
        write_timeout_s=settings.stripe_write_timeout_s,
        read_timeout_s=settings.stripe_read_timeout_s,
        rate_per_s=settings.stripe_rate_per_s,
        owner=settings.app_id,
    )
    sender = CommandSender(settings.kafka_bootstrap, security=security)
    clock = BrokerClock(
        sender,
        worker=settings.canonical_url,
        partitions=settings.partitions,
        max_offset_s=settings.clock_most_off_s,
    )
    effects = EffectsService(
        gateway,
        sender,
        now_s=clock.now_s,
        clock_known=clock.known,
        concurrency=settings.effects_concurrency,
        confirm_deadline_s=settings.confirm_deadline_s,
    )
    reconciler = Reconciler(
        gateway,
        sender,
        after_s=settings.reconcile_after_s,
        interval_s=settings.reconcile_interval_s,
        now_s=clock.now_s,
    )
    for listener in (effects, reconciler):
        runtime.tables["payments"].add_listener(listener)
    notifier = Notifier(
        channels,
        MessageRenderer(
            catalogue,
            order_link(
                OrderTokens(settings.order_token_key.get_secret_value()),
                settings.public_url or settings.canonical_url,
            ),
        ),
        runtime.tables["orders"],
        sender,
        concurrency=settings.notifier_concurrency,
        backoff_s=(settings.notification_first_pause_s, settings.notification_longest_pause_s),
        max_age_s=settings.notification_max_age_s,
        contacts=ContactLimit(settings.notifications_per_contact_hour),
        now_s=clock.now_s,
    )
    runtime.tables["notifications"].add_listener(notifier)
    timers = Timers(
        sender, _caught_up_once_clock_synced(clock, runtime), now_s=clock.earliest_now_s
    )
    runtime.tables["orders"].add_listener(timers)
    operators = Operators(settings, runtime, sender, effects, clock)
    money = MoneyMonitor(settings, runtime, gateway, sender, clock)
    mount_web(
        settings,
        catalogue,
        runtime,
        gateway,
        sender,
        operators,
        money,
        topic_uses(services),
        metrics=Metrics(
            runtime, effects, reconciler, notifier, clock, money.metrics, operators, timers
        ),
        clock=clock,
    )
    _add_background(
        app,
        settings,
        starts=(clock, reconciler, money, timers, operators),
        stops=(operators, money, effects, reconciler, timers, notifier, clock, sender),
        gateway=gateway,
    )
    for commands in (main, audit, dead_letters, notifications, skip):
        commands.register(app, settings)
    completion.register(app)
    return app


def _caught_up_once_clock_synced(
    clock: BrokerClock, runtime: ServiceRuntime
) -> Callable[[tuple[str, ...], int], Awaitable[None]]:
    """What timers wait for: to know what time it is, and what lay in the partition's inputs."""
    progress = CatchUp(runtime)

    async def caught_up(services: tuple[str, ...], partition: int) -> None:
        await clock.known()
        await progress.caught_up(services, partition)

    return caught_up


def _channels(settings: Settings) -> dict[Channel, MessageChannel]:
    """The ways to reach customers that the settings set up."""
    channels: dict[Channel, MessageChannel] = {}
    if settings.smtp_host and settings.mail_from:
        password = settings.smtp_password
        channels[Channel.EMAIL] = Mailer(
            settings.smtp_host,
            settings.smtp_port,
            security=settings.smtp_security,
            user=settings.smtp_user,
            password=password.get_secret_value() if password else None,
            sender=settings.mail_from,
            timeout_s=settings.smtp_timeout_s,
        )
    if settings.twilio_account_sid and settings.twilio_auth_token and settings.sms_from:
        channels[Channel.SMS] = TwilioSms(
            settings.twilio_account_sid,
            settings.twilio_auth_token.get_secret_value(),
            sender=settings.sms_from,
            timeout_s=settings.sms_timeout_s,
            api_url=settings.twilio_api_url,
        )
    return channels


class _Startable(Protocol):
    def start(self) -> None: ...


class _Stoppable(Protocol):
    async def stop(self) -> None: ...


def _add_background(
    app: faust.App,
    settings: Settings,
    *,
    starts: Sequence[_Startable],
    stops: Sequence[_Stoppable],
    gateway: StripeGateway,
) -> None:
    """starts, stops: in order; what others send through stops last."""

    class Background(faust.Service):
        """What runs beside the agents, from the worker's start to its end."""

        async def on_start(self) -> None:
            configure_logs(settings.log_format, settings.log_level)  # Faust has set its own by now
            for part in starts:
                part.start()
            # What is there by now stays: a full collection, which holds everything up for as long as
            # it looks at all objects, need not look at these.
            gc.collect()
            gc.freeze()

        async def on_stop(self) -> None:
            for part in stops:
                await part.stop()
            await gateway.close()

    app.service(Background)
