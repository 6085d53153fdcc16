"""The sandbox's Kafka keeps what it acknowledged, wipes when told, and fails with a reason."""

from __future__ import annotations

import functools
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench import kafka_streams
from sandbox.kafka import BrokerError, JarError, KafkaBroker
from sandbox.kafka.jars import LOCK_FILE, LockedJar, ensure_jars, kafka_lock
from sandbox.processes import MAX_WAIT_S, Supervised, free_port, wait_until

ROOT = Path(__file__).parents[2]
START = [sys.executable, "-m", "sandbox.kafka", "start"]


def make_topic(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, num_partitions=3)])[topic].result(timeout=MAX_WAIT_S)


def topics(bootstrap: str) -> set[str]:
    return set(AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=MAX_WAIT_S).topics)


def cluster_id(bootstrap: str) -> str:
    return str(
        AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=MAX_WAIT_S).cluster_id
    )


def produce(bootstrap: str, topic: str, values: list[bytes]) -> list[str]:
    """What went wrong, a message a record that was not acknowledged."""
    errors: list[str] = []

    def on_delivery(error: object, _: object) -> None:
        if error is not None:  # `==` would leave a pending exception: KafkaError compares codes
            errors.append(str(error))

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "message.max.bytes": 8_000_000,
            "topic.metadata.propagation.max.ms": 0,
        }
    )
    for value in values:
        producer.produce(topic, value, partition=0, on_delivery=on_delivery)
    assert producer.flush(30) == 0
    return errors


def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """Partition 0 of the topic from its beginning, through a group's coordinator."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = consumer.consume(count, timeout=MAX_WAIT_S)
    consumer.commit(offsets=[TopicPartition(topic, 0, len(messages))], asynchronous=False)
    consumer.close()
    return [message.value() for message in messages]


def test_what_was_acknowledged_outlives_kill_stop_and_a_new_object(tmp_path: Path) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker:
        make_topic(broker.bootstrap, "orders")
        values = [b"1", b"2", b"x" * 4 * 1024 * 1024]
        assert produce(broker.bootstrap, "orders", values) == []
        first_id = cluster_id(broker.bootstrap)

        broker.kill()
        assert not broker.running
        broker.start()
        assert consume(broker.bootstrap, "orders", 3) == values

        broker.stop()
        broker.start()
        assert produce(broker.bootstrap, "orders", [b"4"]) == []

    with KafkaBroker(tmp_path / "kafka", keep=True) as kept:
        assert cluster_id(kept.bootstrap) == first_id
        assert consume(kept.bootstrap, "orders", 4) == [*values, b"4"]

    with KafkaBroker(tmp_path / "kafka") as wiped:
        assert cluster_id(wiped.bootstrap) != first_id
        assert "orders" not in topics(wiped.bootstrap)


def test_a_topic_nobody_made_is_not_made_by_using_it(kafka: KafkaBroker) -> None:
    [error] = produce(kafka.bootstrap, "never-made", [b""])
    assert "UNKNOWN_TOPIC" in error
    assert "never-made" not in topics(kafka.bootstrap)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One of this file's own, started beside a class cache that is none."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        (folder / "kafka.aot").write_bytes(b"no cache")
        patch.setattr("sandbox.kafka.broker.CLASS_CACHE", folder / "kafka.aot")
        with KafkaBroker(folder / "kafka") as running:
            yield running


def test_a_class_cache_that_is_none_keeps_no_broker_from_starting(broker: KafkaBroker) -> None:
    assert "AOT cache" in broker.log_path.read_text()
    assert topics(broker.bootstrap) is not None


def test_a_suspended_broker_answers_nobody_until_it_is_resumed(broker: KafkaBroker) -> None:
    broker.suspend()
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=1)
    assert broker.running
    broker.resume()
    assert topics(broker.bootstrap) is not None


def test_a_broker_that_dies_while_starting_shows_why(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        broker = KafkaBroker(tmp_path / "kafka", taken.getsockname()[1])
        with pytest.raises(BrokerError, match="Address already in use"):
            broker.start()
    assert not broker.running


def test_two_brokers_never_share_a_folder(broker: KafkaBroker) -> None:
    with pytest.raises(BrokerError, match="another broker uses"):
        KafkaBroker(broker.data_dir).start()
    assert topics(broker.bootstrap) is not None


def test_the_command_runs_until_it_is_told_to_end(tmp_path: Path) -> None:
    port = free_port()
    command = Supervised(
        "sandbox.kafka",
        [*START, "--port", str(port), "--data-dir", str(tmp_path / "kafka")],
        env={k: v for k, v in os.environ.items() if k != "TIFFIN_KAFKA_BOOTSTRAP"},
        log_path=tmp_path / "command.log",
        restart=False,
        cwd=ROOT,
    )
    with command:
        wait_until(lambda: "Ctrl-C ends it" in command.log_tail(), "Kafka", timeout_s=MAX_WAIT_S)
        assert f"127.0.0.1:{port}" in command.log_tail()
        assert topics(f"127.0.0.1:{port}") is not None
        assert command.terminate() == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_command_starts_nothing_beside_a_broker_that_is_named() -> None:
    done = subprocess.run(
        START,
        env={**os.environ, "TIFFIN_KAFKA_BOOTSTRAP": "kafka.example:9092"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "kafka.example:9092" in done.stderr


@pytest.mark.parametrize("lock_file", [LOCK_FILE, kafka_streams.LOCK_FILE])
def test_the_lock_file_names_every_jar_by_coordinate_and_hash_alone(lock_file: Path) -> None:
    lock = json.loads(lock_file.read_text())
    assert set(lock) == {"roots", "jars"}
    for jar in lock["jars"]:
        assert set(jar) == {"coordinate", "sha256", "size"}
        assert jar["coordinate"].count(":") == 2
        assert len(bytes.fromhex(jar["sha256"])) == 32


def test_a_jar_that_was_altered_on_disk_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "tool-1.0.jar").write_bytes(b"altered")
    with pytest.raises(
        JarError, match=r"tool-1\.0\.jar \(org\.example:tool:1\.0\) is not the lock"
    ):
        ensure_jars(tmp_path, [LockedJar("org.example:tool:1.0", "0" * 64, 7)])


def test_a_jar_that_was_altered_on_its_way_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "repository/org/example/tool/1.0/tool-1.0.jar"
    served.parent.mkdir(parents=True)
    served.write_bytes(b"altered")
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=tmp_path / "repository"
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        repository = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("TIFFIN_MAVEN_REPOSITORY", repository)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with pytest.raises(JarError, match=r"org\.example:tool:1\.0"):
            ensure_jars(tmp_path / "jars", [LockedJar("org.example:tool:1.0", "0" * 64, 7)])
        server.shutdown()
    assert list((tmp_path / "jars").iterdir()) == []


def test_without_a_network_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIFFIN_MAVEN_REPOSITORY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(JarError, match="TIFFIN_KAFKA_BOOTSTRAP"):
        ensure_jars(tmp_path, [LockedJar("org.example:tool:1.0", "0" * 64, 7)])


def test_another_release_is_named_by_a_variable_and_has_a_lock_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.kafka.jars.VERSIONS_DIR", tmp_path)
    monkeypatch.delenv("TIFFIN_SANDBOX_KAFKA", raising=False)
    assert kafka_lock() == LOCK_FILE
    monkeypatch.setenv("TIFFIN_SANDBOX_KAFKA", "1.0")
    (tmp_path / "1.0.lock.json").write_text('{"roots": [], "jars": []}')
    assert kafka_lock() == tmp_path / "1.0.lock.json"
    assert ensure_jars(tmp_path) == []
    monkeypatch.setenv("TIFFIN_SANDBOX_KAFKA", "2.0")
    monkeypatch.setenv("TIFFIN_MAVEN_REPOSITORY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(JarError, match="can't download"):
        kafka_lock()
    assert [path.name for path in tmp_path.iterdir()] == ["1.0.lock.json"]


def test_a_broker_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    port = free_port()
    script = (
        "import sys, time; from sandbox.kafka import KafkaBroker\n"
        f"KafkaBroker({str(tmp_path / 'kafka')!r}, {port}).start(); print('up', flush=True)\n"
        "time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    parent.send_signal(signal.SIGKILL)
    parent.communicate()

    def refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    wait_until(refused, "the broker's end", timeout_s=MAX_WAIT_S)
