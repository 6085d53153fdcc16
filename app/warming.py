"""`python -m app.warming GENERATION PARTITIONS`: a worker's next tables, made ready before they serve.

A worker runs this beside itself while a generation is copied (app/partitions/follower.py). It reads the new
changelogs into the RocksDBs that the worker will open, so that only their last rows are left to read when the
platform has gone over. Nobody knows which partitions the worker will own then: it reads all of them. It ends
with its standard input, so with the worker.
"""

import os
import sys
import threading
import time
from typing import Any, Final

import orjson
import structlog
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException, Producer

from app.declaration import declare
from app.kafka.records import OffsetReader, Place
from app.kafka.security import KafkaSecurity
from app.partitions.state import WORKER_PREFIX, progress_topic
from app.settings import Settings, load_settings
from models.generations import Generation
from tables.changelog import is_engine_record, write_rows
from tables.cluster import ClusterReader

log = structlog.stdlib.get_logger(__name__)

NICENESS: Final = 10
"""Orders that are served come first."""
EVERY_S: Final = 1.0
KAFKA_TIMEOUT_S: Final = 15.0
SILENCE_S: Final = 30.0
POLL_S: Final = 0.2
WRITE_RECORDS: Final = 2000


class WarmingError(Exception):
    """A changelog can't be read further here; the worker's own recovery deals with it."""


class TableWarmer:
    """Fills a generation's tables. Methods raise KafkaError, KafkaException, TimeoutError, WarmingError."""

    def __init__(self, settings: Settings, generation: Generation) -> None:
        self._settings, security = settings, KafkaSecurity.of(settings)
        declared = declare(settings, generation=generation)
        declared.app.conf.tabledir.mkdir(parents=True, exist_ok=True)
        self._tables: dict[Place, Any] = {
            (generation.changelog(settings.app_id, name), p): declared.app.tables[name]
            for name in declared.runtime.tables
            for p in range(generation.partitions)
        }
        self._topic = progress_topic(settings.app_id, generation)
        kafka = {"bootstrap.servers": settings.kafka_bootstrap, **security.librdkafka()}
        self._cluster, self._producer = ClusterReader(kafka), Producer(kafka)
        self._reader = OffsetReader(settings.kafka_bootstrap, security)
        self._next: dict[Place, int] = {}

    def round(self) -> int:
        """Read on in each changelog; gives how many rows have come meanwhile."""
        for place, (start, end) in self._bounds().items():
            if self._next.get(place, 0) < end:
                self._catch_up(place, start, end)
        return sum(
            max(0, end - max(start, self._next.get(place, 0)))
            for place, (start, end) in self._bounds().items()
        )

    def report(self, left: int) -> None:
        """Tell the command how many rows are left."""
        key = f"{WORKER_PREFIX}{self._settings.canonical_url}"
        self._producer.produce(self._topic, orjson.dumps({"left": left}), key)
        self._producer.flush(KAFKA_TIMEOUT_S)

    def close(self) -> None:
        """Leave Kafka."""
        self._reader.close()

    def _bounds(self) -> dict[Place, tuple[int, int]]:
        return dict(self._cluster.bounds(sorted(self._tables), KAFKA_TIMEOUT_S))

    def _catch_up(self, place: Place, start: int, end: int) -> None:
        """Read one changelog to `end`. One RocksDB is open at a time: there may be a hundred."""
        table, partition = self._tables[place], place[1]
        database = table.database(partition)
        try:
            stored = database.get(table.offset_key)
            due = max(start, 0 if stored is None else int(stored) + 1)
            if due < end:
                self._reader.assign({place: due})
            heard_s = time.monotonic()
            while due < end:
                records = self._reader.read(WRITE_RECORDS, POLL_S)
                if any(record.error is not None for record in records):
                    raise WarmingError(f"{place[0]}/{partition} from offset {due} on")
                rows: list[Any] = [
                    (record.key, record.value)
                    for record in records
                    if is_engine_record(record.key, record.value)
                ]
                reached = self._reader.next_offset(place)
                if reached > due:
                    write_rows(database, rows, table.offset_key, reached - 1, table.index)
                    due, heard_s = reached, time.monotonic()
                elif time.monotonic() - heard_s > SILENCE_S:
                    raise TimeoutError
            self._next[place] = due
        finally:
            table.close_database(partition)


def main(generation: Generation) -> None:
    """Fill tables until the worker ends."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    os.nice(NICENESS)
    warmer = TableWarmer(load_settings(), generation)
    while True:
        try:
            warmer.report(warmer.round())
        except (KafkaError, KafkaException, TimeoutError) as error:
            log.warning("tables of more partitions wait for Kafka", error=type(error).__name__)
        time.sleep(EVERY_S)


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main(Generation(int(sys.argv[1]), int(sys.argv[2])))
