"""`python -m bench recovery`: how fast a worker with a wiped folder reads its table's changelog.

The changelog is like that of payments: a record an order and rows below it, of some 700 bytes. With
`--beside`, the engine of another checkout recovers it in turns with this one's.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import click
import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench import report
from bench.report import console
from sandbox.kafka import KafkaBroker
from sandbox.processes import Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECTION: Final = "make bench: recovery"
ROOT: Final = Path(__file__).resolve().parent.parent
PARTITIONS: Final = 3
ROWS_PER_ORDER: Final = 5
VALUE_BYTES: Final = 700
INPUT: Final = "recovery-input"
GROUP: Final = "recovery"
CHANGELOG: Final = f"{GROUP}-bench-changelog"
MAX_WAIT_S: Final = 300.0
APP: Final = "bench.recovery_app"
"""Of this checkout, whatever checkout's engine it runs."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """One recovery. cpu_s: of the whole process, RocksDB's threads with it."""

    took_s: float
    cpu_s: float
    resident_bytes: int
    disk_bytes: int


@click.command("recovery", help=__doc__)
@click.option("--rows", default=300_000, show_default=True, help="Of the changelog.")
@click.option("--batch-bytes", default=65_536, show_default=True, help="Of a batch, at most.")
@click.option("--turns", default=3, show_default=True)
@click.option("--beside", "others", multiple=True, type=click.Path(exists=True, path_type=Path))
@click.option("--write", is_flag=True, help="Write docs/performance.md.")
def main(
    rows: int = 300_000,
    batch_bytes: int = 65_536,
    turns: int = 3,
    others: tuple[Path, ...] = (),
    *,
    write: bool = False,
) -> None:
    """Measure and print."""
    checkouts = {"this checkout": ROOT, **{str(other): other for other in others}}
    runs: dict[str, list[Recovered]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        console.print("… Starting Kafka")
        with KafkaBroker(Path(folder) / "kafka", is_measured=True) as broker:
            _fill(broker.bootstrap, rows, batch_bytes)
            for turn in range(turns):
                names = list(checkouts)
                for name in names if turn % 2 == 0 else reversed(names):
                    done = _recover(broker.bootstrap, Path(folder), checkouts[name])
                    runs[name].append(done)
                    said = f"{rows / done.took_s:,.0f} rows/s, {done.cpu_s / rows * 1e6:,.1f} µs of CPU a row"
                    console.print(f"… turn {turn + 1}: {name}: {said}")
    about = (
        f"{report.machine()}; Kafka on it too. {rows:,} rows of {VALUE_BYTES} bytes in {PARTITIONS} "
        f"partitions, batches of up to {batch_bytes:,} bytes; one worker, wiped folder; {turns} turns."
    )
    report.tell(about, _table(rows, runs), SECTION if write else "")


def _table(rows: int, runs: Mapping[str, list[Recovered]]) -> report.Table:
    columns = [
        "",
        "rows/s",
        "least to most",
        "µs of CPU a row",
        "peak memory, MB",
        "on disk, bytes a row",
    ]
    shown = []
    for name, found in runs.items():
        rates = [rows / run.took_s for run in found]
        cpu = median(run.cpu_s for run in found) / rows * 1e6
        memory = median(run.resident_bytes for run in found) / 1e6
        disk = median(run.disk_bytes for run in found) / rows
        figures = [f"{median(rates):,.0f}", report.spread(rates)]
        shown.append([name, *figures, f"{cpu:,.1f}", f"{memory:,.0f}", f"{disk:,.0f}"])
    return report.Table(columns, shown)


def _fill(bootstrap: str, rows: int, batch_bytes: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    compacted = {"cleanup.policy": "compact", "max.message.bytes": str(4 << 20)}
    topics = [
        NewTopic(INPUT, PARTITIONS, 1),
        NewTopic(CHANGELOG, PARTITIONS, 1, config=compacted),
    ]
    for future in admin.create_topics(topics).values():
        future.result()
    settings = {
        "bootstrap.servers": bootstrap,
        "linger.ms": 50,
        "batch.size": batch_bytes,
        "queue.buffering.max.messages": 200_000,
    }
    producer = Producer(settings)
    for number, (key, value) in enumerate(_rows(rows)):
        while True:
            try:
                partition = number // ROWS_PER_ORDER % PARTITIONS
                producer.produce(CHANGELOG, value, key=key, partition=partition)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()


def _rows(count: int) -> Iterator[tuple[str, bytes]]:
    """A record and rows of each order, one after the other; half of each value can't be compressed."""
    numbers = random.Random(1)
    order = ""
    for number in range(count):
        if number % ROWS_PER_ORDER == 0:
            order = f"order_{numbers.getrandbits(104):026x}"
        state = {
            "paymentIntent": f"pi_{numbers.getrandbits(96):024x}",
            "history": [f"{numbers.getrandbits(512):0128x}" for _ in range(3)],
            "currency": "INR",
            "status": "PAYMENT_COMPLETED",
        }
        record = {"schemaVersion": 1, "version": number, "epoch": 3, "state": state}
        value = orjson.dumps(record)[:-1].ljust(VALUE_BYTES - 1) + b"}"
        row = number % ROWS_PER_ORDER
        yield (f"{order}/{row:06d}" if row else order), value


def _recover(bootstrap: str, folder: Path, checkout: Path) -> Recovered:
    """Start a worker of a checkout with a wiped folder. Raises TimeoutError."""
    data, report = folder / "data", folder / "report.json"
    shutil.rmtree(data, ignore_errors=True)
    report.unlink(missing_ok=True)
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(checkout)]),
        "BENCH_BOOTSTRAP": bootstrap,
        "BENCH_INPUT": INPUT,
        "BENCH_GROUP": GROUP,
        "BENCH_DIR": str(data),
        "BENCH_SINK": INPUT,
        "BENCH_REPORT": str(report),
    }
    shutil.copytree(ROOT / "bench", folder / "bench", dirs_exist_ok=True)
    argv = [sys.executable, "-m", "faust", "-A", APP, "worker", "-l", "info"]
    log = folder / "worker.log"
    with Supervised("worker", argv, env=env, log_path=log, restart=False, cwd=folder) as process:
        deadline = time.monotonic() + MAX_WAIT_S
        while not report.exists():
            if time.monotonic() > deadline:
                console.print(process.log_tail())
                raise TimeoutError(f"not recovered after {MAX_WAIT_S:g} s")
            time.sleep(0.05)
    disk = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    return Recovered(**orjson.loads(report.read_bytes()), disk_bytes=disk)
