"""Puts foreign records into the topics of something that runs, and tells which of them are named nowhere."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.foreign import raw_consumer, senders
from tests.foreign.kinds import (
    LARGE,
    MARKED,
    ODD,
    ODD_BATCHES,
    PUT_BY_TEST,
    random_batch,
)
from tests.foreign.raw_producer import RawProducer
from tests.foreign.record_batches import CODECS, Batch
from tests.foreign.senders import Place

NOT_FOR_COMPACTED = {"INVALID_RECORD", "MSG_SIZE_TOO_LARGE"}
"""What Kafka says to a record without a key, or a large one, in a changelog."""
ORIGIN = b"kafka_dlt-original-"
SERVICE = b"tiffin-service"


class Attack:
    """What a test puts into topics. A letter's name is (place, service).

    readers: input topic -> the services that read it; own: other topics, which only the engine should write,
    with their number of partitions. `places`: of records that each reader must name in a dead letter, and what
    they are; `perhaps`: of records that it may name, or skip; `keys`: those of records in `own`.
    """

    def __init__(
        self,
        bootstrap: str,
        readers: Mapping[str, Collection[str]],
        own: Mapping[str, int],
        *,
        partitions: int,
        dead_letters: str,
        seed: int = 0,
    ) -> None:
        self.bootstrap, self.readers, self.own = bootstrap, readers, own
        self.partitions, self.dead_letters = partitions, dead_letters
        self.rnd = random.Random(seed)
        self.places: dict[Place, str] = {}
        self.perhaps: set[Place] = set()
        self.keys: set[bytes] = set()
        self._letters: list[tuple[tuple[Place, str], raw_consumer.Stored]] = []
        self._next_letter = 0
        self._producers: dict[tuple[str, int], RawProducer] = {}

    @property
    def inputs(self) -> list[tuple[str, int]]:
        """All partitions of input topics."""
        return [(topic, p) for topic in self.readers for p in range(self.partitions)]

    @property
    def owned(self) -> list[tuple[str, int]]:
        """All partitions of the other topics."""
        return [(topic, p) for topic, partitions in self.own.items() for p in range(partitions)]

    def take_any_time(self) -> None:
        """Have Kafka take records of the future into these topics."""
        entry = ConfigEntry(
            "message.timestamp.after.max.ms",
            str(2**63 - 1),
            incremental_operation=AlterConfigOpType.SET,
        )
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        resources = [
            ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
            for topic in (*self.readers, *self.own)
        ]
        for future in admin.incremental_alter_configs(resources).values():
            future.result(20)

    def put(self, topic: str, partition: int, name: str, batch: Batch) -> int:
        """Send a batch and note where its records are; gives the first one's offset, -1 if refused."""
        if (topic, partition) not in self._producers:
            self._producers[topic, partition] = RawProducer(self.bootstrap, topic, partition)
        answer = self._producers[topic, partition].send(batch.encoded())
        if name == "log append time" and answer.error == "INVALID_TIMESTAMP":
            return answer.offset  # the topic stamps its records itself, and refuses such a claim
        if topic in self.own:
            assert answer.is_accepted or answer.error in NOT_FOR_COMPACTED, f"{name}: {answer}"
            self.keys |= {record.key or b"" for record in batch.records}
            return answer.offset
        assert answer.is_accepted, f"{name} to {topic}: {answer}"
        for number, record in enumerate(batch.records):
            place = (topic, partition, answer.offset + number)
            if record in MARKED.values():
                self.perhaps.add(place)
            else:
                self.places[place] = name
        return answer.offset

    def put_each(self, topic: str, partition: int, codec: int) -> None:
        """Send each odd record and batch, but the large ones, to one partition."""
        self.put(topic, partition, "odd", Batch(list(ODD.values()), codec))
        for name, record in (ODD | MARKED).items():
            self.put(topic, partition, name, Batch([record], codec))
        for name, batch in ODD_BATCHES.items():
            self.put(topic, partition, name, batch)

    def put_into_all(self, *, everything: bool) -> None:
        """Send all kinds of odd records and batches into the inputs and the engine's own topics.

        Everything: each record into every partition, each batch into every topic. Else each record goes
        into one partition of every topic, and each batch into one input topic and one of the engine's.
        """
        codecs = list(CODECS.values())
        for number, (topic, partition) in enumerate(self.inputs):
            if everything or partition == number // self.partitions % self.partitions:
                self.put(topic, partition, "odd", Batch(list(ODD.values()), codecs[number % 5]))
                self.put(topic, partition, "marked", Batch(list(MARKED.values())))
        for topics, partitions in ((list(self.readers), self.partitions), (list(self.own), 1)):
            for number, (name, batch) in enumerate({**ODD_BATCHES, **LARGE}.items()):
                for topic in topics if everything else [topics[number % len(topics)]]:
                    self.put(topic, number % partitions, name, batch)

    def put_into_own(self, *, everything: bool) -> None:
        """Send each odd record by itself into the topics that only the engine should write.

        Everything: into each of their partitions. Else into one of each topic, in turn.
        """
        for topic, partition in self.owned:
            for number, (name, record) in enumerate((ODD | MARKED).items()):
                if everything or partition == number % self.own[topic]:
                    codec = self.rnd.choice(list(CODECS.values()))
                    self.put(topic, partition, name, Batch([record], codec))

    def put_random(self, count: int) -> None:
        """Send random batches to random partitions."""
        for _ in range(count):
            self.put(*self.rnd.choice([*self.inputs, *self.owned]), *random_batch(self.rnd))

    def send_junk(self) -> None:
        """Have other producers send what can't be acted on, some of it in transactions."""
        messages = [senders.junk(topic, partition) for topic, partition in self.inputs]
        named = set(senders.in_transaction(self.bootstrap, messages, is_committed=True))
        for codec in CODECS:
            named |= set(senders.by_librdkafka(self.bootstrap, codec, messages))
        self.perhaps |= set(senders.in_transaction(self.bootstrap, messages, is_committed=False))
        # It is slow to call from here: a message a topic.
        few = [senders.junk(t, n % self.partitions) for n, t in enumerate(self.readers)]
        read, aborted = senders.by_java(self.bootstrap, few)
        self.places.update(dict.fromkeys(named | read, "of another producer"))
        self.perhaps |= aborted

    def letters(self) -> list[tuple[tuple[Place, str], raw_consumer.Stored]]:
        """The engine's dead letters by name: those put there by hand come from none of the inputs."""
        new = raw_consumer.read_partition(self.bootstrap, self.dead_letters, 0, self._next_letter)
        for letter in new:
            self._next_letter = letter.offset + 1
            headers = dict(letter.headers)
            names = [ORIGIN + b"topic", ORIGIN + b"partition", ORIGIN + b"offset", SERVICE]
            topic, partition, offset, service = ((headers.get(n) or b"") for n in names)
            if topic.decode(errors="replace") in self.readers and offset.isdigit():
                place = (topic.decode(), int(partition), int(offset))
                self._letters.append(((place, service.decode()), letter))
        return self._letters

    def unnamed(self) -> dict[tuple[Place, str], str]:
        """Records that must be named and are not yet: place and reader -> what was put there."""
        told = {name for name, _ in self.letters()}
        return {
            (place, service): name
            for place, name in self.places.items()
            for service in self.readers[place[0]]
            if (place, service) not in told
        }

    def invented(self) -> set[tuple[Place, str]]:
        """Dead letters of records that this did not put there."""
        known = {
            (place, service)
            for place in (*self.places, *self.perhaps)
            for service in self.readers[place[0]]
        }
        return {name for name, _ in self.letters()} - known

    def letters_without_mark(self) -> int:
        """How many dead letters lost the header by which a test's records are known."""
        return sum(PUT_BY_TEST not in letter.headers for _, letter in self.letters())
