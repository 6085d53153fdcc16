"""What `platform-partitions` says: which generation serves, and whether another is being made."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Final

import orjson
import structlog
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from app.kafka.headers import record_headers
from app.kafka.records import FetchedRecord, OffsetReader
from app.kafka.security import KafkaSecurity
from app.settings import Settings
from models import ids
from models.generations import Generation, PartitionsState, RaiseState, TopicHandover
from models.messages import convert, encode
from models.sender import Headers
from models.times import machine_now_ms, to_rfc3339
from models.topics import PARTITIONS
from tables.cluster import ClusterReader

log = structlog.stdlib.get_logger(__name__)

KEY: Final = b"partitions"
SOURCE: Final = "/tiffin/platform"
WORKER_PREFIX: Final = "worker/"
"""How keys in a `progress_topic` begin under which workers say how much their tables lack."""
TIMEOUT_S: Final = 5.0


def progress_topic(app_id: str, generation: Generation) -> str:
    """The topic that says how far a generation has been copied, and how ready the workers' tables are."""
    return f"{generation.group(app_id)}-copying"


def load(record: FetchedRecord) -> PartitionsState | None:
    """What a record says; None for one that is none of ours."""
    try:
        told: PartitionsState = convert(PartitionsState, orjson.loads(record.value or b""))
    except ValueError as error:
        why = str(error)
        log.warning("a record is left out", topic=PARTITIONS, offset=record.offset, reason=why)
        return None
    return told


def record_of(
    state: RaiseState, made: Generation, topics: Mapping[str, TopicHandover] | None = None
) -> tuple[bytes, Headers]:
    """A record's value and headers."""
    at = to_rfc3339(machine_now_ms())
    told = PartitionsState(
        state=state, generation=made.number, partitions=made.partitions, at=at, topics=topics or {}
    )
    id = ids.derive_id("partitions", made.number, state, at)
    return encode(told), record_headers(id, f"PARTITIONS_{state}", SOURCE, at)


def serving(states: Iterable[PartitionsState], partitions: int) -> Generation:
    """The platform's generation. partitions: of the first, which nobody announces."""
    last = Generation(1, partitions)
    for told in states:
        if told.state is RaiseState.SERVING:
            last = Generation(told.generation, told.partitions)
    return last


def under_way(states: Iterable[PartitionsState]) -> PartitionsState | None:
    """What the last record says of a generation that is being made; None where none is."""
    found, served = None, 0
    for told in states:
        if told.state is RaiseState.SERVING:
            served = max(served, told.generation)
        found = told if told.generation > served else None
    is_made = found is not None and found.state in {RaiseState.COPYING, RaiseState.PAUSED}
    return found if is_made else None


def read_states(settings: Settings) -> list[PartitionsState]:
    """All records, in order; none where there is no topic. Blocks.

    Raises KafkaException, KafkaError, TimeoutError.
    """
    security = KafkaSecurity.of(settings)
    bootstrap = settings.kafka_bootstrap
    cluster = ClusterReader({"bootstrap.servers": bootstrap, **security.librdkafka()})
    place = (PARTITIONS, 0)
    if place not in cluster.partitions({PARTITIONS}, TIMEOUT_S):
        return []
    start, end = cluster.bounds([place], TIMEOUT_S)[place]
    if start == end:
        return []
    found = []
    with closing(OffsetReader(bootstrap, security)) as reader:
        reader.assign({place: start})
        while reader.next_offset(place) < end:
            found += [told for each in reader.read(1000, 1.0) if (told := load(each))]
    return found


def read_generation(settings: Settings) -> Generation:
    """The platform's generation. Blocks. Raises KafkaException, KafkaError, TimeoutError."""
    return serving(read_states(settings), settings.partitions)


def current_generation(settings: Settings) -> Generation:
    """The platform's generation, to wire a worker with; the first while Kafka can't tell.

    A worker asks again before it joins its group (GenerationFollower.prepare). Blocks.
    """
    try:
        return read_generation(settings)
    except (KafkaException, KafkaError, OSError, TimeoutError):
        return Generation(1, settings.partitions)
