"""Latency at a low rate: from the producer's call until the committed event can be read."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING, Final

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from bench import workload

if TYPE_CHECKING:
    from collections.abc import Iterator

PER_SECOND: Final = 500
MEASURED: Final = 2_000
WARM_UP: Final = 500
TICK_S: Final = 0.001
STARTING_TICK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from input to readable output: median and 99th percentile."""

    p50: float
    p99: float


def measure(bootstrap: str, source: str, sink: str) -> Latency:
    """Send records at a steady pace and read the committed events. Raises TimeoutError."""
    took: list[float] = []
    done = threading.Event()
    reader = threading.Thread(target=_read, args=(bootstrap, sink, took, done), daemon=True)
    reader.start()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    try:
        # What is sent before the contestant runs would measure how long it takes to start.
        early = 0
        deadline = time.monotonic() + workload.MAX_WAIT_S
        while not took:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{sink} has no event after {workload.MAX_WAIT_S:g} s")
            _send(producer, source, early)
            early += 1
            time.sleep(STARTING_TICK_S)
        for number in _paced_numbers():
            _send(producer, source, number)
            if len(took) >= early + WARM_UP + MEASURED:
                break
        else:
            raise TimeoutError(f"{sink} has {len(took)} events after {workload.MAX_WAIT_S:g} s")
    finally:
        done.set()
        reader.join()
        producer.flush()
    cuts = quantiles(took[early + WARM_UP :], n=100)
    return Latency(1000 * cuts[49], 1000 * cuts[98])


def _send(producer: Producer, source: str, number: int) -> None:
    key = f"order-{number % workload.OPEN_ORDERS}"
    value = workload.message(key, uuid.uuid4(), repr(time.monotonic()))
    producer.produce(source, value, key=key)
    producer.poll(0)


def _paced_numbers() -> Iterator[int]:
    began = time.monotonic()
    number = 0
    while (now := time.monotonic()) < began + workload.MAX_WAIT_S:
        if number < (now - began) * PER_SECOND:
            yield number
            number += 1
        else:
            time.sleep(TICK_S)


def _read(bootstrap: str, sink: str, took: list[float], done: threading.Event) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"latency-{sink}",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 100,
        }
    )
    consumer.assign([TopicPartition(sink, number, 0) for number in range(workload.PARTITIONS)])
    while not done.is_set():
        message = consumer.poll(0.1)
        if message is None or message.error() is not None:
            continue
        sent = float(orjson.loads(message.value() or b"")["padding"])
        took.append(time.monotonic() - sent)
    consumer.close()
