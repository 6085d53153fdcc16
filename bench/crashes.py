"""`python -m bench crashes`: what becomes of each contestant's events when it is killed three times.

Records come at a steady pace; at a quarter, a half and three quarters of the events the process gets a SIGKILL
and is started again, with its folder. Lost: events that never came. Wrong: events with another number than
they should have, for a record was forgotten or counted twice. Sent again: events that came more than once,
as the engine's may, always the same, for readers to drop by id.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import orjson
from confluent_kafka import Producer

from bench import report, workload
from bench.contestants import CONTESTANTS, Contestant, Run
from bench.counting import SESSION_S, counted
from bench.report import console
from sandbox.kafka import KafkaBroker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.processes import Supervised

SECTION: Final = "make bench: crashes"
KILLED_AT: Final = (0.25, 0.5, 0.75)
IDLE_S: Final = 75.0
"""Without a further event, after which those that lack are lost: a transaction that nobody ends is ended by
Kafka after 60 s, and holds up its readers until then."""


@dataclass(frozen=True, slots=True)
class Survived:
    """What became of a contestant's events; took_s: until the last of them."""

    expected: int
    lost: int
    wrong: int
    repeated: int
    took_s: float


@click.command("crashes", help=__doc__)
@click.option("--records", default=20_000, show_default=True)
@click.option("--rate", default=1_000, show_default=True, help="Records a second.")
@click.option("--write", is_flag=True, help="Write docs/performance.md.")
def main(records: int = 20_000, rate: int = 1_000, *, write: bool = False) -> None:
    """Measure and print."""
    found: dict[Contestant, Survived] = {}
    with tempfile.TemporaryDirectory() as folder:
        console.print("… Starting Kafka")
        with KafkaBroker(Path(folder) / "kafka", is_measured=True) as broker:
            for number, contestant in enumerate(CONTESTANTS):
                if not contestant.is_killed:
                    continue
                run = Run(f"killed-{number}", contestant, broker.bootstrap, Path(folder))
                survived = found[contestant] = _kill(run, records, rate)
                console.print(f"… {contestant.name}: {survived}")
    about = (
        f"{report.machine()}; Kafka on it too. {records:,} records, {rate:,} a second; a SIGKILL after each "
        f"quarter of the events; sessions of {SESSION_S:g} s."
    )
    report.tell(about, _table(found), SECTION if write else "")


def _kill(run: Run, records: int, rate: int) -> Survived:
    source = f"{run.name}-input"
    workload.make_topic(run.bootstrap, source)
    values = [(key, value) for key, value, _ in workload.stream(records)]
    expected = _expected(values)
    sending = threading.Thread(
        target=_send, args=(run.bootstrap, source, values, rate), daemon=True
    )
    with run.running(source, restart=True) as process:
        sending.start()
        given, took_s = _read(run, process, len(expected))
        sending.join()
    ids = Counter(id for id, _ in given)
    wrong = {id for id, number in given if expected.get(id) != number}
    lost = expected.keys() - ids.keys()
    return Survived(len(expected), len(lost), len(wrong), len(given) - len(ids), took_s)


def _expected(values: list[tuple[str, bytes]]) -> Mapping[str, int]:
    """Event's id -> number."""
    expected: dict[str, int] = {}
    known: dict[str, dict[str, object]] = {}
    for key, value in values:
        found = counted(known.get(key), orjson.loads(value))
        if found is not None:
            known[key], event = found
            expected[event["eventId"]] = event["number"]
    return expected


def _send(bootstrap: str, topic: str, values: list[tuple[str, bytes]], rate: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    began = time.monotonic()
    for number, (key, value) in enumerate(values):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        producer.produce(topic, value, key=key)
        producer.poll(0)
    producer.flush()


def _read(run: Run, process: Supervised, expected: int) -> tuple[list[tuple[str, int]], float]:
    """Ids and numbers of all events; kills meanwhile. Ends when all are there, or none comes any more."""
    given: list[tuple[str, int]] = []
    distinct: set[str] = set()
    kills = [share * expected for share in KILLED_AT]
    began = last = time.monotonic()
    killed = began - SESSION_S
    with workload.Outputs(run.bootstrap, run.name) as outputs:
        while len(distinct) < expected and time.monotonic() < last + IDLE_S:
            for record in outputs.read():
                event = orjson.loads(record.value() or b"")
                given.append((event["eventId"], event["number"]))
                distinct.add(event["eventId"])
                last = time.monotonic()
            # Only a process that is at work: one that is starting would not notice.
            if (
                kills
                and len(distinct) >= kills[0]
                and last > killed + SESSION_S
                and process.running
            ):
                kills.pop(0)
                process.kill()
                killed = time.monotonic()
    return given, last - began


def _table(found: Mapping[Contestant, Survived]) -> report.Table:
    rows = [
        [
            contestant.name, f"{each.expected:,}", f"{each.lost:,}", f"{each.wrong:,}",
            f"{each.repeated:,}", f"{each.took_s:.0f}",
        ]
        for contestant, each in found.items()
    ]  # fmt: skip
    return report.Table(
        ["", "events", "lost", "wrong", "sent again", "seconds until the last"], rows
    )
