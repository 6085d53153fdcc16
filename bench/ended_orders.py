"""Ended orders in any number: the changelogs' real records of a few, written again under other ids."""

from __future__ import annotations

import random
import re
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from aiokafka.partitioner import murmur2
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from agents.dictionaries import dictionaries_of
from tables.packing import head_of, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

CHANGELOG: Final = "-changelog"
INDEX_FIELD: Final = b',"index":'
"""Before what a record is found by, its last field."""
BASE32: Final = b"0123456789abcdefghjkmnpqrstvwxyz"
TYPEID_CHARS: Final = 26
TOKEN: Final = re.compile(
    rb"(?<=_)[0-7][0-9a-hjkmnp-tv-z]{25}(?![0-9a-z])"  # of a typeid
    rb"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    rb"|(?<=_)(?=[A-Za-z]*[0-9])[0-9A-Za-z]{14,40}(?![0-9A-Za-z])"  # of one of Stripe's ids
    rb"|(?<=^find/)[\w-]{12}(?=/)|(?<=\"f/)[\w-]{10}(?=[/\"])"  # a search term's hash
)
"""What must differ in each order: ids of our own and of Stripe's, events' ids, hashes of terms."""


class Row(NamedTuple):
    """A row of a template, cut at its tokens: texts and, between them, numbers of tokens.

    is_packed: the value is a packed record: unpacked, behind its first line.
    """

    topic: str
    key: tuple[bytes | int, ...]
    value: tuple[bytes | int, ...]
    is_packed: bool

    def copy(self, tokens: Sequence[bytes]) -> tuple[str, bytes, bytes]:
        """Topic, key and value with these tokens."""
        value = _joined(self.value, tokens)
        if self.is_packed:
            head, _, record = value.partition(b"\n")
            index = head.find(INDEX_FIELD)
            found_by = head[index:-1] if index >= 0 else b""
            value = pack(record, _dictionaries(self.topic), found_by)
        return self.topic, _joined(self.key, tokens), value


@dataclass(frozen=True, slots=True)
class Template:
    """A real ended order. tokens: the order's own first."""

    tokens: tuple[bytes, ...]
    rows: tuple[Row, ...]

    def copy(self, numbers: random.Random) -> tuple[int, list[tuple[str, bytes, bytes]]]:
        """The same under other ids: a hash for its partition, and topic, key, value of each row."""
        tokens = [_other(token, numbers) for token in self.tokens]
        partition = murmur2(b"order_" + tokens[0]) & 0x7FFFFFFF
        return partition, [row.copy(tokens) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one order takes in a table, on average: rows, and bytes of keys and values."""

    rows: float
    size: float


def footprints(templates: Sequence[Template]) -> Mapping[str, Footprint]:
    """Changelog -> what an order takes there."""
    rows: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for template in templates:
        for row in template.rows:
            topic, key, value = row.copy(template.tokens)
            rows[topic] += 1
            sizes[topic] += len(key) + len(value)
    count = len(templates)
    return {topic: Footprint(rows[topic] / count, sizes[topic] / count) for topic in sorted(rows)}


def templates_of(bootstrap: str, orders: Collection[str]) -> list[Template]:
    """Cut the last records of these orders out of all changelogs."""
    found: dict[str, dict[tuple[str, bytes], bytes]] = defaultdict(dict)
    of = {order.removeprefix("order_").encode(): order for order in orders}
    for topic, key, value in _changelogs(bootstrap):
        for token in TOKEN.findall(key):
            if token in of:
                found[of[token]][topic, key] = value
    return [template_of(order, rows) for order, rows in found.items()]


def write(bootstrap: str, templates: Sequence[Template], numbers: range, partitions: int) -> None:
    """Write so many ended orders into the changelogs, and wait for Kafka."""
    settings = {"linger.ms": 50, "batch.size": 262_144, "queue.buffering.max.messages": 200_000}
    producer = Producer({"bootstrap.servers": bootstrap, **settings})
    for number in numbers:
        partition, rows = templates[number % len(templates)].copy(random.Random(number))
        for topic, key, value in rows:
            while True:
                try:
                    producer.produce(topic, value, key=key, partition=partition % partitions)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.poll(0)
    producer.flush()


def template_of(order: str, rows: Mapping[tuple[str, bytes], bytes]) -> Template:
    """Cut an order's rows at their tokens. rows: changelog and key -> value."""
    tokens: dict[bytes, int] = {order.removeprefix("order_").encode(): 0}

    def cut(text: bytes) -> tuple[bytes | int, ...]:
        parts: list[bytes | int] = []
        end = 0
        for match in TOKEN.finditer(text):
            number = tokens.setdefault(match.group(), len(tokens))
            parts += [text[end : match.start()], number]
            end = match.end()
        return (*parts, text[end:])

    made = []
    for (topic, key), value in rows.items():
        text = unpack(value, _dictionaries(topic))
        is_packed = text is not value
        if is_packed:
            text = b"%b\n%b" % (head_of(value), text)
        made.append(Row(topic, cut(key), cut(text), is_packed))
    return Template(tuple(tokens), tuple(made))


def _dictionaries(changelog: str) -> Sequence[bytes]:
    return dictionaries_of(changelog.removesuffix(CHANGELOG).rpartition("-")[2])


def _joined(parts: Sequence[bytes | int], tokens: Sequence[bytes]) -> bytes:
    return b"".join(tokens[part] if isinstance(part, int) else part for part in parts)


def _other(token: bytes, numbers: random.Random) -> bytes:
    """A token of the same form and length."""
    if token[8:9] == b"-" and len(token) == 36:
        return str(uuid.UUID(int=numbers.getrandbits(128), version=5)).encode()
    bits = numbers.getrandbits(5 * len(token))
    chars = bytearray(BASE32[bits >> 5 * place & 31] for place in range(len(token)))
    if len(token) == TYPEID_CHARS:
        chars[0] = BASE32[chars[0] % 8]
    return bytes(chars)


def _changelogs(bootstrap: str) -> Iterator[tuple[str, bytes, bytes]]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "templates", "enable.partition.eof": True}
    )
    try:
        topics = consumer.list_topics(timeout=30).topics
        places = [
            TopicPartition(name, partition, OFFSET_BEGINNING)
            for name, topic in topics.items()
            if name.endswith(CHANGELOG)
            for partition in topic.partitions
        ]
        consumer.assign(places)
        left = {(place.topic, place.partition) for place in places}
        while left:
            for record in consumer.consume(1_000, timeout=1.0):
                if (error := record.error()) is not None:
                    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 -- its public name
                        left.discard((record.topic(), record.partition()))
                elif record.key() and record.value() is not None:
                    yield record.topic(), record.key(), record.value()
    finally:
        consumer.close()
