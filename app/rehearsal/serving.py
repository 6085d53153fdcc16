"""The serving generation as a rehearsal reads it: by topics' own names, from its beginning on.

What an earlier generation decided had other offsets (models/generations.py): of such orders only what was
decided since the last raise of the number of partitions is decided again.
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from app.kafka.records import FetchedRecord
from app.partitions.state import serving
from app.settings import Settings
from models.generations import PartitionsState, RaiseState, base_topic
from models.times import from_rfc3339
from models.topics import DEAD_LETTERS
from tables import DEAD_LETTER_PREFIX
from tables.packing import unpack

ORIGIN: Final = f"{DEAD_LETTER_PREFIX}original-topic"


class ServingTopics:
    """The generation that serves. since_ms: when it began, in milliseconds since the epoch; 0: the first."""

    def __init__(self, states: Sequence[PartitionsState], settings: Settings) -> None:
        self._generation = serving(states, settings.partitions)
        self._app_id = settings.app_id
        self.group = self._generation.group(settings.app_id)
        self.name = self._generation.topic
        began = [from_rfc3339(told.at) for told in states if told.state is RaiseState.SERVING]
        self.since_ms = began[-1] if began else 0

    def changelog(self, service: str) -> str:
        """The changelog of a service's table."""
        return self._generation.changelog(self._app_id, service)

    def renamed(self, record: FetchedRecord) -> FetchedRecord:
        """A record by topics' own names, a dead letter's origin too."""
        if record.topic != DEAD_LETTERS or not self.since_ms:
            return record._replace(topic=base_topic(record.topic))
        headers = tuple(
            (name, base_topic(value.decode(errors="replace")).encode() if name == ORIGIN else value)
            for name, value in record.headers
        )
        return record._replace(headers=headers)

    def table_record(self, record: FetchedRecord, dictionaries: Sequence[bytes]) -> FetchedRecord:
        """A record of a table with the offsets of this generation alone, by topics' own names."""
        if not self.since_ms or not record.key or b"/" in record.key or record.key[0] == 0:
            return record
        try:
            stored: dict[str, Any] = orjson.loads(unpack(record.value or b"", dictionaries))
            offsets = stored["offsets"].items()
        except (ValueError, KeyError, AttributeError, TypeError):
            return record  # none of the engine's
        known = {
            base_topic(topic): at for topic, at in offsets if self.name(base_topic(topic)) == topic
        }
        return record._replace(value=orjson.dumps({**stored, "offsets": known}))
