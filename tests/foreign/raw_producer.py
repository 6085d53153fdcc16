"""Sends bytes as they are to a partition's leader in a Produce request, and tells what it answers."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple, Self

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

PRODUCE_KEY = 0
CLIENT = b"foreign"
TIMEOUT_S = 30.0


class Answer(NamedTuple):
    """What the broker said to a batch. offset: of its first record, -1 when it was refused.

    error: librdkafka's name of the error, as INVALID_RECORD, "NO_ERROR", or "closed" when the broker hung up.
    """

    error: str
    offset: int
    message: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.error == "NO_ERROR"


class Connection:
    """A connection to a partition's leader. A context manager; its methods block."""

    def __init__(self, bootstrap: str, topic: str, partition: int = 0) -> None:
        self.topic, self.partition = topic, partition
        admin = AdminClient({"bootstrap.servers": bootstrap})
        found = admin.list_topics(topic, timeout=20)
        leader = found.brokers[found.topics[topic].partitions[partition].leader]
        self._at = (leader.host, leader.port)
        self._socket: socket.socket | None = None
        self._requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; the next `ask` connects again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, api: int, version: int, body: bytes) -> bytes:
        """Send a request and give what follows the answer's number. Raises OSError, EOFError."""
        if self._socket is None:
            self._socket = socket.create_connection(self._at, TIMEOUT_S)
        self._requests += 1
        head = struct.pack(">hhih", api, version, self._requests, len(CLIENT)) + CLIENT
        self._socket.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        (size,) = struct.unpack(">i", self._read(4))
        answer = self._read(size)
        assert struct.unpack_from(">i", answer) == (self._requests,)
        return answer[4:]

    def _read(self, size: int) -> bytes:
        assert self._socket is not None
        parts, missing = [], size
        while missing:
            part = self._socket.recv(min(missing, 1 << 16))
            if not part:
                raise EOFError("the broker hung up")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


class RawProducer(Connection):
    """Sends batches as they are. A context manager; its methods block."""

    def send(self, records: bytes, *, version: int = 8) -> Answer:
        """Send record batches; blocks until the broker answers. version: 3 to 8, of the request."""
        name = self.topic.encode()
        # No transactional id, acks of all in-sync replicas, time, one topic.
        body = struct.pack(">hhii", -1, -1, int(TIMEOUT_S * 1000), 1)
        body += struct.pack(">h", len(name)) + name
        body += struct.pack(">iii", 1, self.partition, len(records)) + records
        try:
            answer = self.ask(PRODUCE_KEY, version, body)
        except (ConnectionError, EOFError):
            self.close()
            return Answer("closed", -1)
        at = 4 + 2 + len(name) + 4 + 4  # topics, name, partitions, partition
        code, offset = struct.unpack_from(">hq", answer, at)
        return Answer(KafkaError(code).name(), offset, _message_of(answer, at, version))


def _message_of(answer: bytes, at: int, version: int) -> str:
    """What the broker says beside the code; in version 8 and later alone."""
    if version < 8:
        return ""
    at += 2 + 8 + 8 + 8  # code, offset, time, start of the log
    (count,) = struct.unpack_from(">i", answer, at)
    at += 4
    texts = []
    for _ in range(count):
        at += 4
        text, at = _text(answer, at)
        texts.append(text)
    text, _ = _text(answer, at)
    return "; ".join(part for part in [text, *texts] if part)


def _text(answer: bytes, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from(">h", answer, at)
    at += 2
    return ("", at) if size < 0 else (answer[at : at + size].decode(), at + size)
