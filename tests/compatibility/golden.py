"""Golden records of a release: of each kind of record that its workers wrote, one of each shape.

    python -m tests.compatibility.golden VERSION

is run at the release's commit. It plays what a recording plays (tests/compatibility/record.py) on a real
platform, and writes `tests/golden/records/VERSION.jsonl`: topics' records of each type and set of fields, and
what tables stored, packed records too. `tests/unit/test_golden_records.py` reads them with today's code.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer

from sandbox.processes import MAX_WAIT_S
from tests.compatibility.contents import read_topic
from tests.compatibility.day import RecordedPlatform, settings_of
from tests.compatibility.record import RUNS, play
from tests.compatibility.stored import CHANGELOG, Stored

FOLDER: Final = Path(__file__).parents[1] / "golden" / "records"
PUT_BY_HAND: Final = "put-by-hand"


class GoldenRecord(NamedTuple):
    """A record as Kafka had it."""

    topic: str
    key: bytes
    value: bytes
    headers: dict[str, str]


def load(version: str) -> list[GoldenRecord]:
    """The golden records of a release."""
    lines = (FOLDER / f"{version}.jsonl").read_text().splitlines()
    return [
        GoldenRecord(topic, _bytes(key), _bytes(value), headers)
        for topic, key, value, headers in map(json.loads, lines)
    ]


def _text(value: bytes) -> str | list[str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return [base64.b64encode(value).decode()]


def _bytes(value: str | list[str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value[0])


def shape_of(record: Stored) -> tuple[Any, ...]:
    """What records of one kind have in common: their topic, their type, and which fields are there."""
    headers = {name: value or b"" for name, value in record.headers}
    kind = headers.get("ce_type", b"").decode()
    key = (record.key or b"").partition(b"/")
    name = key[0] if (record.key or b"").startswith(b"\0") else key[1]
    try:
        fields = tuple(sorted(_fields(json.loads(record.value or b""))))
    except ValueError:
        fields = ((record.value or b"")[:14].decode(errors="replace"),)  # packed
    return record.topic, kind, name, fields


def _fields(value: Any, depth: int = 3) -> Iterator[str]:
    """Names of fields, those of ids left out."""
    if isinstance(value, dict) and depth:
        for name, inner in value.items():
            if not any(letter.isdigit() for letter in name):
                yield name
                yield from (f"{name}.{each}" for each in _fields(inner, depth - 1))


def main(version: str) -> None:
    """Play, and write."""
    with tempfile.TemporaryDirectory() as folder:
        platform = RecordedPlatform(
            Path(folder), workers=1, settings=settings_of(RUNS[0]), settle_delay_s=-1
        )
        platform.break_at()
        with platform:
            asyncio.run(play(platform))
            platform.workers[0].terminate()
            known = Consumer({"bootstrap.servers": platform.bootstrap, "group.id": "golden"})
            topics = sorted(known.list_topics(timeout=MAX_WAIT_S).topics)
            known.close()
            records = [
                record
                for topic in topics
                if not topic.startswith("__")
                for record in read_topic(platform.bootstrap, topic)
            ]
    chosen: dict[Any, Stored] = {}
    for record in records:
        is_ours = not any(name == PUT_BY_HAND for name, _ in record.headers)
        if record.value is not None and (is_ours or record.topic.endswith(CHANGELOG)):
            chosen.setdefault(shape_of(record), record)
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(
            [
                each.topic, _text(each.key or b""), _text(each.value or b""),
                {name: (value or b"").decode(errors="replace") for name, value in each.headers},
            ],
            ensure_ascii=False,
        )
        for each in chosen.values()
    ]  # fmt: skip
    (FOLDER / f"{version}.jsonl").write_text("\n".join(lines) + "\n")
    sys.stdout.write(f"{len(lines)} of {len(records)} records\n")


if __name__ == "__main__":
    main(sys.argv[1])
