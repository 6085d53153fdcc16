"""The whole wiring but that of web/: settings in, a Faust app with engines, effects and web out."""

import functools
import gc
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import faust
import uvloop

from agents import (
    AnalyticsService,
    DeliveriesService,
    NotificationsService,
    OrdersService,
    PaymentsService,
    TimelineService,
)
from app import (
    audit,
    cli,
    cli_completion,
    cli_dead_letters,
    cli_notifications,
    cli_skip,
)
from app.channels import MessageChannel
from app.clock import BrokerClock
from app.commands import CommandSender
from app.contact_limit import ContactLimit
from app.effects import EffectsService
from app.kafka_security import KafkaSecurity
from app.letters import Letters, order_link
from app.logs import configure_logs
from app.mail import Mailer
from app.metrics import Metrics
from app.money_watch import MoneyWatch
from app.notifier import Notifier
from app.operators import Operators
from app.progress import Progress
from app.reconciler import Reconciler
from app.settings import Settings, SettingsError, load_settings
from app.sms import TwilioSms
from app.stripe_gateway import StripeGateway
from app.timers import Timers
from app.web_wiring import mount_web
from models.notification import Channel, Policy
from models.order_turn import Deadlines
from models.topics import DEAD_LETTERS
from models.transition import Service
from tables import Engines, make_app
from web.catalogue import FOLDER, CatalogueError, load_catalogue
from web.tokens import OrderTokens

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
    services: list[Service] = [
        PaymentsService(),
        OrdersService(deadlines),
        DeliveriesService(),
        NotificationsService(
            Policy(
                frozenset(channels),
                settings.notification_tries,
                int(settings.notification_repeat_after_s * 1000),
            )
        ),
        AnalyticsService(),
        TimelineService(),
    ]
    engines = Engines(
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
        most_off_s=settings.clock_most_off_s,
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
        engines.tables["payments"].add_listener(listener)
    notifier = Notifier(
        channels,
        Letters(
            catalogue,
            order_link(
                OrderTokens(settings.order_token_key.get_secret_value()),
                settings.public_url or settings.canonical_url,
            ),
        ),
        engines.tables["orders"],
        sender,
        concurrency=settings.notifier_concurrency,
        pauses_s=(settings.notification_first_pause_s, settings.notification_longest_pause_s),
        max_age_s=settings.notification_max_age_s,
        contacts=ContactLimit(settings.notifications_per_contact_hour),
        now_s=clock.now_s,
    )
    engines.tables["notifications"].add_listener(notifier)
    timers = Timers(sender, _once_clock_is_known(clock, engines), now_s=clock.passed_s)
    engines.tables["orders"].add_listener(timers)
    operators = Operators(settings, engines, sender, effects, clock)
    money = MoneyWatch(settings, engines, gateway, sender, clock)
    mount_web(
        settings,
        catalogue,
        engines,
        gateway,
        sender,
        operators,
        money,
        metrics=Metrics(
            engines, effects, reconciler, notifier, clock, money.metrics, operators, timers
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
    for commands in (cli, audit, cli_dead_letters, cli_notifications, cli_skip):
        commands.register(app, settings)
    cli_completion.register(app)
    return app


def _once_clock_is_known(
    clock: BrokerClock, engines: Engines
) -> Callable[[tuple[str, ...], int], Awaitable[None]]:
    """What timers wait for: to know what time it is, and what lay in the partition's inputs."""
    progress = Progress(engines)

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


class _Starts(Protocol):
    def start(self) -> None: ...


class _Stops(Protocol):
    async def stop(self) -> None: ...


def _add_background(
    app: faust.App,
    settings: Settings,
    *,
    starts: Sequence[_Starts],
    stops: Sequence[_Stops],
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
