"""A run under attack: topics, workers as real processes, a load, and waiting until all is decided."""

from __future__ import annotations

import random
import sys
import threading
import time
import uuid
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.processes import MAX_WAIT_S, Supervised, wait_until
from tests.faults.engine_services import CountingService, keyed_services, services

ROOT = Path(__file__).parents[2]
PARTITIONS = 3
PARTITIONER = "murmur2_random"
WORKER = ("worker", "-l", "info", "--without-web")


class Run:
    """One consumer group with topics of its own. `sent`: topic -> key -> messages, first ones.

    is_keyed: with the services whose outputs have keys of their own. suffix: of the topics' names in Kafka, as
    those of a later generation (models/generations.py); elsewhere topics have their own names.
    """

    def __init__(
        self,
        bootstrap: str,
        folder: Path,
        *,
        session_s: float = 6.0,
        replicas: int = 1,
        is_keyed: bool = False,
        suffix: str = "",
    ) -> None:
        self.name = f"run{uuid.uuid4().hex[:8]}"
        self.bootstrap = bootstrap
        self.folder = folder
        self.session_s = session_s
        self.replicas = replicas
        self.is_keyed = is_keyed
        self.suffix = suffix
        made = keyed_services if is_keyed else services
        self.services: list[CountingService] = made(self.name)
        self.sent: dict[str, dict[str, list[dict[str, object]]]] = {}
        self.workers: dict[int, Supervised] = {}
        self._processes = ExitStack()
        self._load: threading.Thread | None = None
        self._progress = 0.0

    def __enter__(self) -> Self:
        self.make_topics()
        return self

    def __exit__(self, *_: object) -> None:
        if self._load is not None:
            self._load.join()
        self._processes.close()

    @property
    def outside_topics(self) -> list[str]:
        """Topics that senders outside write, ids without sequences."""
        return [f"{self.name}-commands", f"{self.name}-webhooks"]

    @property
    def dead_letter_topic(self) -> str:
        return f"{self.name}-dlq"

    def changelog(self, service: CountingService) -> str:
        return f"{self.name}-{service.name}-changelog"

    def make_topics(self) -> None:
        names = {topic for service in self.services for topic in (*service.inputs, service.outputs)}
        topics = [NewTopic(name + self.suffix, PARTITIONS, self.replicas) for name in sorted(names)]
        topics.append(NewTopic(self.dead_letter_topic, 1, self.replicas))
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_topics(topics).values():
            future.result(20)

    def worker(self, number: int, **env: str) -> Supervised:
        """Start a worker, or start it again after it was terminated."""
        known = self.workers.get(number)
        if known is not None:
            known.start()
            return known
        worker = Supervised(
            f"{self.name}-{number}",
            [sys.executable, "-m", "faust", "-A", "tests.faults.engine_app", *WORKER],
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(ROOT),
                "RUN": self.name,
                "BOOTSTRAP": self.bootstrap,
                "DATADIR": str(self.datadir(number)),
                "SESSION_S": str(self.session_s),
                "REPLICAS": str(self.replicas),
                "CANONICAL_URL": f"http://worker-{number}:80",
                "TOPIC_SUFFIX": self.suffix,
                **({"KEYED": "1"} if self.is_keyed else {}),
                **env,
            },
            log_path=self.folder / f"worker-{number}.log",
            cwd=ROOT,
        )
        self.workers[number] = self._processes.enter_context(worker)
        return worker

    def datadir(self, number: int) -> Path:
        return self.folder / "data" / str(number)

    def ready_count(self, number: int) -> int:
        """How often the worker has said that it was ready."""
        log = self.folder / f"worker-{number}.log"
        return log.read_bytes().count(b"Worker ready") if log.exists() else 0

    def wait_ready(
        self, number: int, *, again_after: int = 0, timeout_s: float = MAX_WAIT_S
    ) -> None:
        try:
            wait_until(
                lambda: self.ready_count(number) > again_after,
                f"worker {number} to be ready",
                timeout_s=timeout_s,
            )
        except TimeoutError as exc:
            raise TimeoutError(f"{exc}\n{self.workers[number].log_tail(30)}") from None

    def kill(self, number: int) -> None:
        """SIGKILL; the supervisor starts it again."""
        self.workers[number].kill()

    def wipe_and_kill(self, number: int) -> None:
        """SIGKILL with its data folder gone."""
        datadir = self.datadir(number)
        if datadir.exists():
            datadir.rename(datadir.with_name(f"{number}-lost-{uuid.uuid4().hex[:6]}"))
        self.workers[number].kill()

    def load(self, count: int, *, seconds: float, keys: int = 300, seed: int = 7) -> None:
        """Send in the background: a hot key with 5 %, 2 % sent again by the sender."""
        self._progress = 0.0
        self._load = threading.Thread(target=self._send, args=(count, seconds, keys, seed))
        self._load.start()

    def wait_sent(self, part: float) -> None:
        """Wait until this part (0 to 1) of the load has been sent."""
        wait_until(lambda: self._progress >= part, f"{part:.0%} to be sent", timeout_s=MAX_WAIT_S)

    def _send(self, count: int, seconds: float, keys: int, seed: int) -> None:
        rnd = random.Random(seed)
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": PARTITIONER,
                "linger.ms": 5,
                "enable.idempotence": True,
                "log_level": 0,
            }
        )
        for topic in self.outside_topics:
            self.sent.setdefault(topic, defaultdict(list))
        started = time.monotonic()
        recent: list[tuple[str, str, dict[str, object]]] = []
        for number in range(count):
            if recent and rnd.random() < 0.02:
                topic, key, message = rnd.choice(recent)
            else:
                key = "hot" if rnd.random() < 0.05 else f"key-{rnd.randrange(keys)}"
                topic = rnd.choice(self.outside_topics)
                message = {"id": uuid.UUID(int=rnd.getrandbits(128)).hex, "command": number % 2}
                self.sent[topic][key].append(message)
                recent = [*recent[-200:], (topic, key, message)]
            headers = [("traceparent", str(message["id"]).encode())]
            name = topic + self.suffix
            producer.produce(name, orjson.dumps(message), key=key, headers=headers)
            if not number % 50:
                producer.poll(0)
                self._progress = number / count
                time.sleep(max(0.0, started + number / count * seconds - time.monotonic()))
        assert producer.flush(100) == 0
        self._progress = 1.0

    def lag(self, topics: list[str]) -> int:
        """Records of these topics that the group has not committed."""
        names = [topic + self.suffix for topic in topics]
        return self._behind([TopicPartition(t, p) for t in names for p in range(PARTITIONS)])

    def lag_of(self, topic: str, partition: int) -> int:
        """The same of one partition."""
        return self._behind([TopicPartition(topic + self.suffix, partition)])

    def _behind(self, wanted: list[TopicPartition]) -> int:
        consumer = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": self.name, "log_level": 0}
        )
        try:
            behind = 0
            for committed in consumer.committed(wanted, timeout=10):
                low, high = consumer.get_watermark_offsets(committed, timeout=10)
                behind += high - max(committed.offset, low)
            return behind
        finally:
            consumer.close()

    def wait_done(self, timeout_s: float = MAX_WAIT_S) -> None:
        """Wait until everything sent is decided by every service, and committed."""
        if self._load is not None:
            self._load.join()
        inner = [t for s in self.services for t in s.inputs if t not in self.outside_topics]

        def done() -> bool:
            try:
                return self.lag(self.outside_topics) == 0 and self.lag(inner) == 0
            except KafkaException:
                return False

        try:
            wait_until(done, "all inputs to be committed", timeout_s=timeout_s)
        except TimeoutError:
            tails = "\n".join(w.log_tail(15) for w in self.workers.values())
            lags = {topic: self.lag([topic]) for topic in (*self.outside_topics, *inner)}
            raise TimeoutError(f"not done; lag {lags}\n{tails}") from None

    def stop(self) -> None:
        """End all workers in good order."""
        for worker in self.workers.values():
            worker.terminate()
