"""Settings of Kafka, of what is kept in it, and of the worker's place among the workers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from app.settings.field_types import PREFIX, Seconds, SettingsPart, named


class KafkaSettings(SettingsPart):
    """Brokers, topics, the workers' group and this worker's tables."""

    app_id: str = Field("tiffin", pattern=r"^[a-zA-Z0-9._-]+$")
    """Faust app id: the consumer group, the prefix of changelog topics, the mark of payments at Stripe"""
    kafka_bootstrap: str = Field("127.0.0.1:9092", pattern=r"^[^\s,:/]+:\d+(,[^\s,:/]+:\d+)*$")
    """Kafka brokers, host:port, separated by commas"""
    kafka_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How brokers are spoken to"""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the user shows the password to brokers"""
    kafka_user: str | None = None
    """User at the brokers, with SASL_..."""
    kafka_password: SecretStr | None = None
    """That user's password"""
    kafka_ca_file: Path | None = None
    """Who signed the brokers' certificates (PEM); none: the system's"""
    partitions: int = Field(3, ge=1, le=1000)
    """Partitions of every topic and table that a platform begins with"""
    replication_factor: int = Field(1, ge=1, le=9)
    """Replicas of every topic"""
    session_timeout_s: Seconds = 8.0
    """After how long a silent worker loses its partitions"""
    heartbeat_interval_s: Seconds = 2.0
    """How often a worker tells Kafka that it lives"""
    rebalance_timeout_s: Seconds = 10.0
    """How long a rebalance waits for a worker that does not answer"""
    group_instance_id: str | None = None
    """A name of this worker that outlives it: a restart moves no partitions"""
    standby_replicas: int = Field(0, ge=0, le=8)
    """Workers that keep a copy of each table, to take it over without reading it anew"""
    clock_most_off_s: Seconds = 30.0
    """A worker whose clock is further from Kafka's is not ready"""
    data_dir: Path = Path("data")
    """Where this worker keeps its tables; one folder a worker"""

    def kafka_problems(self) -> Iterable[str]:
        """What does not fit together, a line each."""
        if self.heartbeat_interval_s * 3 > self.session_timeout_s:
            yield named("heartbeat_interval_s", "must be at most a third of the session time-out")
        is_asked = self.kafka_protocol.startswith("SASL")
        for name in ("kafka_user", "kafka_password"):
            if (getattr(self, name) is not None) is not is_asked:
                yield named(name, f"must be set with {PREFIX}KAFKA_PROTOCOL=SASL_..., only there")
        if self.kafka_ca_file is not None:
            if not self.kafka_protocol.endswith("SSL"):
                yield named("kafka_ca_file", f"needs {PREFIX}KAFKA_PROTOCOL=SSL or SASL_SSL")
            elif not self.kafka_ca_file.is_file():
                yield named("kafka_ca_file", "must be a file")
