"""Apache Kafka for laptops and tests: one KRaft node that needs Python alone."""

from sandbox.kafka.broker import BrokerError, KafkaBroker, external_bootstrap
from sandbox.kafka.jars import JarError

__all__ = ["BrokerError", "JarError", "KafkaBroker", "external_bootstrap"]
