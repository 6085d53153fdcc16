"""The Faust app with its services declared: topics, agents, tables. Connects to nothing and starts nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import faust

from agents.service import Service, topic_uses
from app.configured_services import catalogue_of, decide_by, limits_of, payment_methods
from app.kafka.security import KafkaSecurity
from app.settings import Settings
from app.version import VERSION
from models.generations import Generation
from models.levels import client_id
from models.notification import Channel
from models.payment_methods import OfferedMethods
from models.topics import DEAD_LETTERS, TopicUse
from tables import ServiceRuntime, make_app
from web.catalogue import Catalogue

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
    catalogue = catalogue_of(settings)
    methods = payment_methods(settings, catalogue)
    made = decide_by(settings, catalogue, methods, channels)
    services = tuple(map(traced, made))
    runtime = ServiceRuntime(
        app, services, dead_letter_topic=DEAD_LETTERS, partitions=generation.partitions,
        topic_name=generation.topic,
        limits=limits_of(settings),
        gather_s={service.name: service.gather_s for service in services},
        admin={"bootstrap.servers": settings.kafka_bootstrap, **security.librdkafka()},
    )  # fmt: skip
    return Declaration(app, runtime, catalogue, methods, topic_uses(services), generation)
