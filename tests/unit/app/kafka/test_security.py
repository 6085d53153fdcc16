"""What the three clients of Kafka are given: the same, each in its words, and never shown."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest
from confluent_kafka import Producer
from faust import SASLCredentials, SSLCredentials

from app.kafka.security import NO_SECURITY, KafkaSecurity

CA = Path(certifi.where())
SASL = {"mechanism": "SCRAM-SHA-512", "user": "tiffin", "password": "as-secret-as-can-be"}


def test_brokers_that_let_everybody_in() -> None:
    assert NO_SECURITY.faust() is None
    assert NO_SECURITY.librdkafka() == {"security.protocol": "PLAINTEXT"}
    assert NO_SECURITY.aiokafka() == {"security_protocol": "PLAINTEXT", "ssl_context": None}


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_user_with_a_password(protocol: str) -> None:
    is_tls = protocol == "SASL_SSL"
    security = KafkaSecurity(protocol, **SASL, ca_file=CA if is_tls else None)
    Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0, **security.librdkafka()})
    given = security.aiokafka()
    assert (given["security_protocol"], given["sasl_mechanism"]) == (protocol, "SCRAM-SHA-512")
    assert isinstance(given["ssl_context"], ssl.SSLContext) is is_tls
    credentials = security.faust()
    assert isinstance(credentials, SASLCredentials)
    assert credentials.protocol.value == protocol
    assert credentials.mechanism.value == "SCRAM-SHA-512"
    assert credentials.password == SASL["password"]
    assert SASL["password"] not in repr(security)


def test_tls_alone_checks_who_the_broker_is() -> None:
    security = KafkaSecurity("SSL", ca_file=CA)
    assert security.librdkafka()["ssl.ca.location"] == str(CA)
    credentials = security.faust()
    assert isinstance(credentials, SSLCredentials)
    assert credentials.context.verify_mode is ssl.CERT_REQUIRED
    assert credentials.context.check_hostname
