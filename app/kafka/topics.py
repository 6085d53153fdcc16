"""Makes Kafka's topics as the registry says; changes nothing that would break order or lose records."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from app.kafka.security import KafkaSecurity
from app.settings import Settings
from models.generations import Generation
from models.topics import (
    FOREVER,
    MAX_COMPACTION_LAG_MS,
    REPLICAS_REQUIRING_MIN_INSYNC,
    TOPICS,
    Topic,
)
from models.wording import counted

TIMEOUT_S: Final = 15.0
STAMPED_BY_BROKER: Final = {"message.timestamp.type": "LogAppendTime"}
CHANGELOG_CONFIG: Final = {
    **STAMPED_BY_BROKER,
    "max.compaction.lag.ms": str(MAX_COMPACTION_LAG_MS),
}
"""What is corrected of a changelog that is there; `tables.app.changelog_config` is what one is made with."""


class TopicsError(Exception):
    """Kafka's topics are not what the registry says, and can't be made so; the message says what to do."""


@dataclass(frozen=True, slots=True)
class TopicChange:
    """What `sync` did for one topic: made it, kept it, or changed some of its configuration."""

    topic: Topic
    partitions: int
    done: str


def topic_config(topic: Topic, replication_factor: int) -> dict[str, str]:
    """Give a topic's configuration at the broker.

    Of three replicas two must have a record before it counts as sent: else the broker that took it alone could
    lose it. Records bear the time at which Kafka took them (decide knows no other clock).
    """
    config = {"cleanup.policy": "delete", "retention.ms": str(topic.retention_ms)}
    config |= STAMPED_BY_BROKER
    if replication_factor >= REPLICAS_REQUIRING_MIN_INSYNC:
        config["min.insync.replicas"] = "2"
    return config


def sync_topics(
    settings: Settings, generation: Generation, *, check_only: bool = False
) -> list[TopicChange]:
    """Make missing topics of a generation, correct the configuration of those that are there; idempotent.

    Of changelogs it is corrected that Kafka stamps their records (it would refuse those of a worker whose
    clock is an hour ahead, `message.timestamp.after.max.ms`), and when it compacts them. Raises TopicsError
    when Kafka is away, when a topic has another partition count (an order's records would move to other
    partitions), and with `check_only` when anything is missing or differs.
    """
    admin = AdminClient(
        {
            "bootstrap.servers": settings.kafka_bootstrap, "socket.timeout.ms": 5000, "log_level": 0,
            **KafkaSecurity.of(settings).librdkafka(),
        }
    )  # fmt: skip
    try:
        known = admin.list_topics(timeout=TIMEOUT_S).topics
        topics = topics_of(generation)
        _refuse_other_counts(known, topics)
        missing = [topic for topic in topics.values() if topic.name not in known]
        replicas = settings.replication_factor
        wanted = {t.name: topic_config(t, replicas) for t in topics.values() if t.name in known}
        group = generation.group(settings.app_id)
        changelogs = [name for name in known if _is_changelog(name, group)]
        changes = _differing(admin, wanted | dict.fromkeys(changelogs, CHANGELOG_CONFIG))
        if check_only and (missing or changes):
            names = ", ".join([*(topic.name for topic in missing), *changes])
            why = f"missing or different: {names}. `faust -A app topics` puts it right."
            raise TopicsError(why)
        _make(admin, missing, replicas)
        _correct(admin, changes)
    except KafkaException as error:
        raise TopicsError(
            f"Kafka at {settings.kafka_bootstrap} did not do it: {error.args[0].str()}. "
            "Is it running, and are TIFFIN_KAFKA_BOOTSTRAP and what else begins with TIFFIN_KAFKA right?"
        ) from None
    made = {topic.name for topic in missing}
    corrected = {
        name: Topic(name, FOREVER, ("tables",), about="a table's changelog")
        for name in changes
        if name not in topics
    }
    return [
        TopicChange(
            topic,
            topic.partitions or generation.partitions,
            "made" if name in made else f"changed: {changes[name]}" if name in changes else "kept",
        )
        for name, topic in (topics | corrected).items()
    ]


def topics_of(generation: Generation) -> dict[str, Topic]:
    """Topics as a generation has them: Kafka's name -> the topic, with its partition count."""
    found = {}
    for topic in TOPICS.values():
        partitions = topic.partitions or generation.partitions
        named = replace(topic, name=generation.topic(topic.name), partitions=partitions)
        found[named.name] = named
    return found


def _refuse_other_counts(known: dict[str, Any], topics: Mapping[str, Topic]) -> None:
    wrong = [
        f"{name} has {counted(len(known[name].partitions), 'partition', 'partitions')}, "
        f"not {topic.partitions}"
        for name, topic in topics.items()
        if name in known and len(known[name].partitions) != topic.partitions
    ]
    if wrong:
        raise TopicsError(
            "; ".join(wrong) + ". An order's records would move between partitions: set "
            "TIFFIN_PARTITIONS to what the topics have; `faust -A app partitions raise` makes more."
        )


def _is_changelog(name: str, group: str) -> bool:
    return name.startswith(f"{group}-") and name.endswith("-changelog")


def _differing(admin: AdminClient, wanted: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Topic name -> what of its wanted configuration is otherwise at the broker."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in wanted]
    answers = admin.describe_configs(resources, request_timeout=TIMEOUT_S) if resources else {}
    have = {resource.name: future.result() for resource, future in answers.items()}
    return {
        name: wrong
        for name, config in wanted.items()
        if (wrong := {k: v for k, v in config.items() if have[name][k].value != v})
    }


def _make(admin: AdminClient, topics: list[Topic], replicas: int) -> None:
    new = [
        NewTopic(topic.name, topic.partitions, replicas, config=topic_config(topic, replicas))
        for topic in topics
    ]
    for future in (admin.create_topics(new, request_timeout=TIMEOUT_S) if new else {}).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # another run made it meanwhile
                raise


def _correct(admin: AdminClient, changes: dict[str, dict[str, str]]) -> None:
    resources = []
    for name, wrong in changes.items():
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in wrong.items()
        ]
        resources.append(ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries))
    if resources:
        for future in admin.incremental_alter_configs(resources).values():
            future.result()
