"""The topics of a generation, as the broker has them: made, closed, opened again, deleted. Blocks.

Every function may be called again. They raise KafkaException, and TopicsError where something is missing.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

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
from app.kafka.topics import (
    STAMPED_BY_BROKER,
    TIMEOUT_S,
    TopicsError,
    topic_config,
    topics_of,
)
from app.partitions.copying import TopicCopy
from app.partitions.plan import moving_topics
from app.partitions.state import progress_topic
from app.settings import Settings
from models.generations import Generation
from models.times import HOUR_MS
from models.topics import PARTITIONS, TOPICS
from tables.app import changelog_config

CLOSED_BYTES: Final = 1
"""`max.message.bytes` of a topic that takes no records any more: no batch is so small."""
METADATA_POLL_S: Final = 0.1
WHILE_COPYING: Final = {
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": str(2**63 - 1),
    "message.timestamp.after.max.ms": str(2**63 - 1),
    "min.compaction.lag.ms": str(24 * HOUR_MS),
    "retention.ms": "-1",
}
"""Copies keep their times; what was just copied is there to be compared, however old it is."""


class GenerationTopics:
    """Asks and tells the brokers."""

    def __init__(self, settings: Settings) -> None:
        self._app_id, self._replicas = settings.app_id, settings.replication_factor
        self._admin = AdminClient(
            {
                "bootstrap.servers": settings.kafka_bootstrap, "socket.timeout.ms": 10_000, "log_level": 0,
                **KafkaSecurity.of(settings).librdkafka(),
            }
        )  # fmt: skip

    def progress(self, generation: Generation) -> str:
        """The topic that says how far a generation has been copied."""
        return progress_topic(self._app_id, generation)

    def check(self, old: Generation, names: Sequence[str]) -> None:
        """Raise TopicsError unless all topics of the generation are there with its count."""
        known = self._admin.list_topics(timeout=TIMEOUT_S).topics
        wrong = [n for n in names if n not in known or len(known[n].partitions) != old.partitions]
        if PARTITIONS not in known:
            wrong.append(PARTITIONS)
        if wrong:
            raise TopicsError(
                f"missing, or not of {old.count}: {', '.join(wrong)}. Run `faust -A app "
                "topics`, and start the workers once: they make their tables' changelogs."
            )

    def make(self, new: Generation, copies: Sequence[TopicCopy]) -> None:
        """Make what is missing of a generation's topics; copies keep their times in all of them."""
        topics = topics_of(new)
        progress = {"cleanup.policy": "compact"}
        wanted = {
            name: topic_config(topics[name], self._replicas) | WHILE_COPYING
            for name in map(new.topic, moving_topics())
        }
        table = {name: str(value) for name, value in changelog_config(self._replicas).items()}
        wanted |= {
            copy.new: table | {"cleanup.policy": "compact"} | WHILE_COPYING
            for copy in copies
            if copy.is_changelog
        }
        known = self._admin.list_topics(timeout=TIMEOUT_S).topics
        made = [
            NewTopic(name, new.partitions, self._replicas, config=config)
            for name, config in wanted.items()
            if name not in known
        ]
        while_copying = [_set(name, value) for name, value in WHILE_COPYING.items()]
        self._alter({name: while_copying for name in wanted if name in known})
        if self.progress(new) not in known:
            made.append(NewTopic(self.progress(new), 1, self._replicas, config=progress))
        for future in (self._admin.create_topics(made) if made else {}).values():
            future.result()
        until_s = time.monotonic() + TIMEOUT_S
        while {*wanted, self.progress(new)} - self._admin.list_topics(
            timeout=TIMEOUT_S
        ).topics.keys():
            if time.monotonic() > until_s:
                raise TopicsError("Kafka does not know of the topics that it made. Run it again.")
            time.sleep(METADATA_POLL_S)

    def finish(self, new: Generation, copies: Sequence[TopicCopy]) -> None:
        """Have the topics as they are to be: from here on Kafka stamps their records."""
        topics = topics_of(new)
        wanted = {
            name: topic_config(topics[name], self._replicas)
            for name in map(new.topic, moving_topics())
        }
        wanted |= {copy.new: STAMPED_BY_BROKER for copy in copies if copy.is_changelog}
        self._alter({name: _as_wanted(config) for name, config in wanted.items()})

    def close(self, old: Generation) -> None:
        """Have Kafka refuse every further record, whoever sends it; tables' changelogs stay open."""
        closed = _set("max.message.bytes", str(CLOSED_BYTES))
        self._alter({old.topic(name): [closed] for name in moving_topics()})

    def reopen(self, old: Generation) -> None:
        """Undo `close`."""
        gone = _unset("max.message.bytes")
        self._alter({old.topic(name): [gone] for name in moving_topics()})

    def delete(self, names: Sequence[str]) -> None:
        """Delete those that are there; a name twice would crash librdkafka."""
        known = self._admin.list_topics(timeout=TIMEOUT_S).topics
        wanted = [name for name in sorted(set(names)) if name in known and name not in TOPICS]
        for future in (self._admin.delete_topics(wanted) if wanted else {}).values():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].name() != "UNKNOWN_TOPIC_OR_PART":
                    raise

    def _alter(self, changes: Mapping[str, Sequence[ConfigEntry]]) -> None:
        resources = [
            ConfigResource(ResourceType.TOPIC, name, incremental_configs=list(entries))
            for name, entries in changes.items()
        ]
        for future in (
            self._admin.incremental_alter_configs(resources).values() if resources else ()
        ):
            future.result()


def _as_wanted(config: Mapping[str, str]) -> list[ConfigEntry]:
    """A topic's configuration in place of WHILE_COPYING."""
    gone = [_unset(name) for name in WHILE_COPYING if name not in config]
    return [*gone, *(_set(name, value) for name, value in config.items())]


def _set(name: str, value: str) -> ConfigEntry:
    return ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)


def _unset(name: str) -> ConfigEntry:
    return ConfigEntry(name, "", incremental_operation=AlterConfigOpType.DELETE)
