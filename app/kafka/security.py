"""How this application shows Kafka who it is, in the words of each of its three clients."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from faust import SASLCredentials, SSLCredentials

from app.settings import Settings


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """By default nothing: a broker that lets everybody in. ca_file: None trusts the system's."""

    protocol: str = "PLAINTEXT"
    mechanism: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        password = settings.kafka_password
        return cls(
            settings.kafka_protocol, settings.kafka_sasl_mechanism, settings.kafka_user,
            password.get_secret_value() if password else None, settings.kafka_ca_file,
        )  # fmt: skip

    def librdkafka(self) -> dict[str, Any]:
        """Settings of confluent-kafka's clients."""
        found: dict[str, Any] = {"security.protocol": self.protocol}
        if self.user is not None:
            found |= {"sasl.mechanism": self.mechanism, "sasl.username": self.user}
            found["sasl.password"] = self.password
        if self.ca_file is not None:
            found["ssl.ca.location"] = str(self.ca_file)
        return found

    def aiokafka(self) -> dict[str, Any]:
        """Arguments of aiokafka's clients. Reads the file."""
        found: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self._tls()}
        if self.user is not None:
            found |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.user}
            found["sasl_plain_password"] = self.password
        return found

    def faust(self) -> SASLCredentials | SSLCredentials | None:
        """The broker's credentials for Faust, whose own producers and consumer take them. Reads the file."""
        tls = self._tls()
        if self.user is not None:
            return SASLCredentials(
                username=self.user,
                password=self.password,
                ssl_context=tls,
                mechanism=self.mechanism,
            )
        return SSLCredentials(tls) if tls else None

    def _tls(self) -> ssl.SSLContext | None:
        has_tls = self.protocol.endswith("SSL")
        return ssl.create_default_context(cafile=self.ca_file) if has_tls else None


NO_SECURITY = KafkaSecurity()
"""Of brokers that let everybody in: laptops and tests."""
