"""The Faust app with its services declared: topics, agents, tables. Connects to nothing and starts nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import faust

import agents
from agents.notifications import NotificationPolicy
from agents.orders.transitions import Deadlines
from agents.payments.transitions import PaymentPolicy
from agents.service import Service, topic_uses
from app.kafka.security import KafkaSecurity
from app.settings import Settings, SettingsError
from app.settings.field_types import named
from app.version import VERSION
from models.generations import Generation
from models.levels import client_id
from models.money import read_minimum_charges
from models.notification import Channel
from models.payment_methods import OfferedMethods, read_payment_methods
from models.retention import Retention
from models.times import DAY_MS
from models.topics import DEAD_LETTERS, TopicUse
from tables import Limits, ServiceRuntime, make_app
from web.catalogue import FOLDER, Catalogue, load_catalogue

BODY_SLACK_BYTES: Final = 1024
"""Above the body limit, so that our own message is given and not aiohttp's."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a worker is wired around. topics: who writes and reads each."""

    app: faust.App
    runtime: ServiceRuntime
    catalogue: Catalogue
    payment_methods: OfferedMethods
    topics: tuple[TopicUse, ...]
    generation: Generation


def declare(
    settings: Settings,
    channels: frozenset[Channel] = frozenset(),
    traced: Callable[[Service[Any]], Service[Any]] = lambda service: service,
    generation: Generation | None = None,
) -> Declaration:
    """Declare app and services. Raises SettingsError, CatalogueError.

    channels: by which customers are told. traced: what is done to each service so that it makes spans.
    generation: of the platform's topics (app/partitions); by default the first, with the setting's partitions.
    """
    generation = generation or Generation(1, settings.partitions)
    security = KafkaSecurity.of(settings)
    app = make_app(
        generation.group(settings.app_id),
        broker_client_id=client_id(VERSION),
        broker=";".join(f"kafka://{host}" for host in settings.kafka_bootstrap.split(",")),
        datadir=generation.folder(settings.data_dir), partitions=generation.partitions,
        replication=settings.replication_factor, session_timeout_s=settings.session_timeout_s,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        rebalance_timeout_s=settings.rebalance_timeout_s, instance_id=settings.group_instance_id,
        standby_replicas=settings.standby_replicas, broker_credentials=security.faust(),
        web_bind=settings.web_host, web_host=settings.web_host, web_port=settings.web_port,
        canonical_url=settings.canonical_url,
        web_application_options={"client_max_size": settings.body_limit_bytes + BODY_SLACK_BYTES},
    )  # fmt: skip
    catalogue = load_catalogue(settings.catalogue_dir or FOLDER, minimum_charges(settings))
    methods = payment_methods(settings, catalogue)
    policy = NotificationPolicy(
        channels, settings.notification_tries,
        int(settings.notification_repeat_after_s * 1000),
    )  # fmt: skip
    deadlines = Deadlines(
        payment_ms=int(settings.payment_deadline_s * 1000),
        kitchen_ms=int(settings.kitchen_deadline_s * 1000),
    )
    payments = PaymentPolicy(
        methods, expires_ms=deadlines.payment_ms, late_ms=int(settings.late_payment_s * 1000)
    )
    retention = Retention(
        contact_ms=int(settings.contact_kept_days * DAY_MS),
        details_ms=int(settings.details_kept_days * DAY_MS),
    )
    made = agents.services(deadlines, policy, payments, retention)
    services = tuple(map(traced, made))
    runtime = ServiceRuntime(
        app, services, dead_letter_topic=DEAD_LETTERS, partitions=generation.partitions,
        topic_name=generation.topic,
        limits=Limits(outcome_ttl_s=int(settings.outcomes_kept_hours * 3600)),
        gather_s={service.name: service.gather_s for service in services},
        admin={"bootstrap.servers": settings.kafka_bootstrap, **security.librdkafka()},
    )  # fmt: skip
    return Declaration(app, runtime, catalogue, methods, topic_uses(services), generation)


def minimum_charges(settings: Settings) -> Mapping[str, int]:
    """The operator's minimums by currency, in minor units. Raises SettingsError."""
    try:
        return read_minimum_charges(settings.minimum_charges)
    except ValueError as error:
        wrong = named("minimum_charges", str(error))
        raise SettingsError(f"These settings can't be used:\n{wrong}") from None


def payment_methods(settings: Settings, catalogue: Catalogue) -> OfferedMethods:
    """What the Payment Element may offer for the catalogue's currencies. Raises SettingsError."""
    currencies = {each.currency for each in catalogue.restaurants.values()}
    try:
        return read_payment_methods(settings.payment_methods, currencies)
    except ValueError as error:
        wrong = named("payment_methods", str(error))
        raise SettingsError(f"These settings can't be used:\n{wrong}") from None
