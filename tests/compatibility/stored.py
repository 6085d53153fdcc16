"""Recordings as files: what a run of the platform left in Kafka, in RocksDB and at the HTTP API.

A recording is a folder in `recordings/`. It holds one compressed file of JSON lines a topic and a table,
`groups` (in which steps each service went through its inputs), `answers` (what the API said of it all) and
`run.json`. Nothing in here knows the product; a recording is never changed once it is made.
"""

from __future__ import annotations

import base64
import json
import lzma
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "recordings"
SUFFIX = ".jsonl.xz"
FOR_TEXT = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]
"""How the files are compressed; whoever reads them need not know."""
CHANGELOG = "-changelog"
DEAD_LETTERS = "payment-events-dlq"
RESERVED = b"\0"
"""How keys begin that the engine keeps for itself."""
PROGRESS = b"\0progress"
FAUST = b"__faust"
"""How keys begin that Faust keeps for itself."""


class Sent(NamedTuple):
    """A record to be: what a service's step leads to."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Stored(NamedTuple):
    """A record that Kafka had. by: the service that wrote it, and for which of its partitions; or ()."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    by: tuple[()] | tuple[str, int] = ()

    @property
    def sent(self) -> Sent:
        """What its sender made."""
        return Sent(self.topic, self.key, self.value, self.headers)


@dataclass(frozen=True)
class Group:
    """A step of one service in one partition: inputs that became durable together.

    epoch: of who wrote it. run: number of the worker's settings in `Recording.runs`. done: topic ->
    last offset that was known to be done when this epoch began. inputs: topic and offset. writes:
    offsets in the changelog, from the first to before the last.
    """

    service: str
    partition: int
    epoch: int
    run: int
    done: dict[str, int]
    inputs: list[tuple[str, int]]
    writes: tuple[int, int]


@dataclass
class Recording:
    """All of one recording.

    topics: name -> records, each partition in order; changelogs too. tables: service -> partition ->
    key -> what RocksDB held at the end. failing: inputs at which a service was made to fail. answers:
    path -> what the API said to an operator. orders: name of what was played -> order id.
    """

    name: str
    runs: list[dict[str, Any]]
    failing: list[tuple[str, str, int, int]]
    orders: dict[str, str]
    topics: dict[str, list[Stored]] = field(default_factory=dict)
    tables: dict[str, dict[int, dict[bytes, bytes]]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    def at(self, topic: str, partition: int) -> list[Stored]:
        """A partition's records; a record's place in the list is its offset."""
        return [record for record in self.topics[topic] if record.partition == partition]

    def changelog(self, service: str) -> str:
        """The changelog of a service's table."""
        (name,) = [name for name in self.topics if name.endswith(f"-{service}{CHANGELOG}")]
        return name

    @property
    def inputs(self) -> list[str]:
        """Topics that are no changelogs."""
        return [name for name in self.topics if not name.endswith(CHANGELOG)]


def text_of(raw: bytes | None) -> str | list[str] | None:
    """Bytes in JSON: text where they are text, else base64 in a list."""
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return [base64.b64encode(raw).decode()]


def bytes_of(text: str | list[str] | None) -> bytes | None:
    """The bytes again."""
    if text is None or isinstance(text, str):
        return None if text is None else text.encode()
    return base64.b64decode(text[0])


def names() -> list[str]:
    """The recordings that there are, the oldest first."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def load(name: str) -> Recording:
    """Read a recording."""
    folder = FOLDER / name
    about = json.loads((folder / "run.json").read_text())
    failing = [(service, topic, p, o) for service, topic, p, o in about["failing"]]
    recording = Recording(name, about["runs"], failing, about["orders"])
    for path in sorted((folder / "topics").iterdir()):
        topic = path.name.removesuffix(SUFFIX)
        recording.topics[topic] = [_record(topic, line) for line in _read(path)]
    for path in sorted((folder / "tables").iterdir()):
        service = path.name.removesuffix(SUFFIX)
        partitions = recording.tables.setdefault(service, {})
        changelog = recording.changelog(service)
        written = {(r.partition, r.offset): r.value for r in recording.topics[changelog]}
        for partition, key, value in _read(path):
            raw = written[partition, value] if isinstance(value, int) else bytes_of(value)
            partitions.setdefault(partition, {})[bytes_of(key) or b""] = raw or b""
    for line in _read(folder / f"groups{SUFFIX}"):
        inputs = [(topic, offset) for topic, offset in line["inputs"]]
        first, last = line["writes"]
        recording.groups.append(Group(**{**line, "inputs": inputs, "writes": (first, last)}))
    recording.answers = dict(_read(folder / f"answers{SUFFIX}"))
    return recording


def save(recording: Recording) -> Path:
    """Write a new recording; refuses to change one that is there."""
    folder = FOLDER / recording.name
    folder.mkdir(parents=True)
    for sub in ("topics", "tables"):
        (folder / sub).mkdir()
    about = {"runs": recording.runs, "failing": recording.failing, "orders": recording.orders}
    (folder / "run.json").write_text(json.dumps(about, indent=1) + "\n")
    for topic, records in recording.topics.items():
        _write(folder / "topics" / f"{topic}{SUFFIX}", [_line(record) for record in records])
    for service, partitions in recording.tables.items():
        # What the changelog has as well is named by its offset there.
        changelog = recording.topics[recording.changelog(service)]
        written = {(r.partition, r.key, r.value): r.offset for r in changelog}
        rows = [
            [partition, text_of(key), written.get((partition, key, value), text_of(value))]
            for partition, stored in sorted(partitions.items())
            for key, value in sorted(stored.items())
        ]
        _write(folder / "tables" / f"{service}{SUFFIX}", rows)
    _write(folder / f"groups{SUFFIX}", [vars(group) for group in recording.groups])
    _write(folder / f"answers{SUFFIX}", [list(each) for each in recording.answers.items()])
    return folder


def _record(topic: str, line: list[Any]) -> Stored:
    partition, offset, timestamp_ms, key, value, headers, by = line
    return Stored(
        topic,
        partition,
        offset,
        timestamp_ms,
        bytes_of(key),
        bytes_of(value),
        tuple((name, bytes_of(text)) for name, text in headers),
        (by[0], by[1]) if by else (),
    )


def _line(record: Stored) -> list[Any]:
    headers = [[name, text_of(value)] for name, value in record.headers]
    key, value = text_of(record.key), text_of(record.value)
    place = [record.partition, record.offset, record.timestamp_ms]
    return [*place, key, value, headers, list(record.by)]


def _read(path: Path) -> list[Any]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _write(path: Path, lines: list[Any]) -> None:
    with lzma.open(path, "wt", encoding="utf-8", filters=FOR_TEXT) as file:
        for line in lines:
            text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
            file.write(f"{text}\n")
