"""Which topics a generation is copied from and to, and where each of their records goes. Pure."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from agents.service import Service
from app.partitions.copying import Change, TopicCopy, partition_of
from models.generations import Generation
from models.topics import TOPICS, WORKER_CLOCKS
from tables.changelog import is_engine_record
from tables.keyed_outputs import KEYED_KEY, restarted_row
from tables.keys import LOOKUP_PREFIX

NOT_COPIED: Final = frozenset({WORKER_CLOCKS})
"""Their records tell of a moment."""


def moving_topics() -> list[str]:
    """Topics that each generation has its own of."""
    return [name for name, topic in TOPICS.items() if not topic.partitions]


def copies(
    services: Iterable[Service[Any]], app_id: str, old: Generation, new: Generation
) -> list[TopicCopy]:
    """All that is to be copied; changelogs last, so that no table is ahead of what it was made of."""
    topics = [
        TopicCopy(
            old.topic(name), new.topic(name), old.partitions, new.partitions,
            record_change(new.partitions),
        )
        for name in moving_topics()
        if name not in NOT_COPIED
    ]  # fmt: skip
    changelogs = [
        TopicCopy(
            old.changelog(app_id, service.name), new.changelog(app_id, service.name), old.partitions,
            new.partitions, row_change(service, new.partitions), is_changelog=True,
        )
        for service in services
    ]  # fmt: skip
    return [*topics, *changelogs]


def record_change(partitions: int) -> Change:
    """Where a record of a topic goes: by its key; one without stays in its partition."""

    def change(partition: int, key: bytes | None, value: bytes | None) -> tuple[int, bytes | None]:
        return partition if key is None else partition_of(key, partitions), value

    return change


def row_change(service: Service[Any], partitions: int) -> Change:
    """Where a row of a table goes: with its key. A sum over keys stays in its partition: it can't be divided.

    The engine's own rows (progress, fence) are of the partition, and made anew; but the count of the outputs
    with keys of their own goes on in each partition: its readers take only numbers above the last one.
    """
    sums: dict[bytes, Callable[[bytes], bytes]] = {
        name.encode(): restarted for name, restarted in service.sums.items()
    }

    def change(
        partition: int, key: bytes | None, value: bytes | None
    ) -> tuple[int, bytes | None] | None:
        if key is None or value is None or key.startswith(LOOKUP_PREFIX):
            return None
        if not is_engine_record(key, value):
            return None
        if key == KEYED_KEY:
            return partition, restarted_row(value)
        if key[:1] == b"\0":
            return None
        name, slash, _ = key.partition(b"/")
        if slash and name in sums:
            return partition, sums[name](value)
        moved = service.restarted(value) if service.restarted and not slash else value
        return partition_of(name, partitions), moved

    return change
