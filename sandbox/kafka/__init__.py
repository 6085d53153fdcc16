"""Apache Kafka for laptops and tests: KRaft nodes that need Python alone."""

from sandbox.kafka.broker import BrokerError, KafkaBroker, KafkaCluster, external_bootstrap
from sandbox.kafka.jars import JarError

__all__ = ["BrokerError", "JarError", "KafkaBroker", "KafkaCluster", "external_bootstrap"]
