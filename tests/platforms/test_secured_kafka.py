"""A whole platform on a Kafka with TLS that asks who it is, and lets it do what docs/operations.md names."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import pytest
import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from app.settings import SANDBOX_TOKEN_KEY
from sandbox.card_numbers import VISA
from sandbox.customer import Customer
from sandbox.kafka import KafkaBroker
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S, free_port
from web.http.tokens import DevelopmentStaff, Role

WRONG_PASSWORD = "not-the-password"
USER, PASSWORD, MECHANISM = "tiffin", "as-secret-as-can-be", "SCRAM-SHA-512"
WITHIN_S = MAX_WAIT_S

O, R = AclOperation, ResourceType  # noqa: E741 -- as in models/graphs.py
LITERAL, PREFIXED = ResourcePatternType.LITERAL, ResourcePatternType.PREFIXED
RIGHTS = (
    (R.TOPIC, "*", LITERAL, (O.READ, O.WRITE, O.CREATE, O.DESCRIBE, O.DESCRIBE_CONFIGS,
                             O.ALTER_CONFIGS)),
    (R.GROUP, "tiffin", PREFIXED, (O.READ, O.DESCRIBE)),
    (R.TRANSACTIONAL_ID, "tiffin-", PREFIXED, (O.WRITE, O.DESCRIBE)),
    (R.BROKER, "kafka-cluster", LITERAL, (O.IDEMPOTENT_WRITE, O.DESCRIBE)),
)  # fmt: skip
"""What the workers and the command line need; the table of docs/operations.md."""


class SecuredBroker(KafkaBroker):
    """Has a second listener, with TLS, that asks for a user; who comes by the first one may do all."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.secured = f"127.0.0.1:{free_port()}"
        self.ca_file = data_dir.with_name("ca.pem")

    def _prepare(self, java: list[str]) -> None:
        super()._prepare(java)
        lines = self._config_path.read_text().splitlines()
        known = dict(line.split("=", 1) for line in lines)
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        more = {
            "listeners": f"{known['listeners']},SECURED://{self.secured}",
            "advertised.listeners": f"{known['advertised.listeners']},SECURED://{self.secured}",
            "listener.security.protocol.map":
                f"{known['listener.security.protocol.map']},SECURED:SASL_SSL",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": MECHANISM,
            f"listener.name.secured.{MECHANISM.lower()}.sasl.jaas.config": f"{module} required;",
            "listener.name.secured.ssl.keystore.type": "PEM",
            "listener.name.secured.ssl.keystore.location": self._make_certificate(),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }  # fmt: skip
        self._config_path.write_text("".join(f"{k}={v}\n" for k, v in (known | more).items()))

    def _make_certificate(self) -> Path:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        issued = authority.issue_cert("127.0.0.1")
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        path = self.data_dir / "keystore.pem"
        path.write_bytes(  # Kafka reads keys in PKCS #8 alone
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        )
        return path

    def start(self, timeout_s: float = WITHIN_S) -> None:
        super().start(timeout_s)
        bindings = [
            AclBinding(kind, name, pattern, f"User:{USER}", "*", operation, AclPermissionType.ALLOW)
            for kind, name, pattern, operations in RIGHTS
            for operation in operations
        ]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_acls(bindings).values():
            future.result(MAX_WAIT_S)
        how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion(USER, how, PASSWORD.encode())
        admin.alter_user_scram_credentials([user])[USER].result(MAX_WAIT_S)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("secured")
    broker = SecuredBroker(folder / "kafka")
    settings = {
        "TIFFIN_KAFKA_BOOTSTRAP": broker.secured,
        "TIFFIN_KAFKA_PROTOCOL": "SASL_SSL",
        "TIFFIN_KAFKA_SASL_MECHANISM": MECHANISM,
        "TIFFIN_KAFKA_CA_FILE": str(broker.ca_file),
        "TIFFIN_KAFKA_USER": USER,
        "TIFFIN_KAFKA_PASSWORD": PASSWORD,
        "TIFFIN_RECONCILIATION_INTERVAL_S": "1",
        "TIFFIN_COMMAND_WAIT_S": "60",
        # A worker must have claimed its partitions within its session, over some fifty connections
        # with TLS and SCRAM each: more than a loaded machine does in the default's 8 s.
        "TIFFIN_SESSION_TIMEOUT_S": "240",
    }
    running = Platform(folder, workers=2, settings=settings)
    running.broker = broker
    with running:
        yield running


async def test_an_order_is_paid_and_everything_that_reads_kafka_reads_it(
    platform: Platform,
) -> None:
    ends = platform.endpoints
    async with Customer(ends.workers[0], ends.stripe) as somebody:
        await somebody.open_payment()
        await somebody.confirm(VISA)
        await somebody.wait_status("PENDING")
    token = DevelopmentStaff(SANDBOX_TOKEN_KEY, sandbox=True).issue(Role.OPERATOR, "olga")
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def ask(path: str, worker: int = 0) -> dict[str, object]:
            """As a client does: again, while the answer is that Kafka took too long (TLS under load)."""
            until = time.monotonic() + WITHIN_S
            while True:
                async with session.get(f"{ends.workers[worker]}{path}") as response:
                    if response.status != 503 or time.monotonic() > until:
                        assert response.status == 200, await response.text()
                        found: dict[str, object] = await response.json()
                        return found
                    await asyncio.sleep(float(response.headers["Retry-After"]))

        assert (await ask("/api/ops/lag"))["partitions"]
        assert (await ask("/api/ops/audit"))["scanned"]
        assert (await ask("/api/ops/dead-letters"))["total"] == 0
        until = time.monotonic() + WITHIN_S
        while "run" not in (found := await ask("/api/ops/reconciliation", worker=1)):
            assert time.monotonic() < until, found
            await asyncio.sleep(0.2)
        assert found["run"]["problems"] == []
    rebuilt = await asyncio.to_thread(platform.run_cli, "audit", "rebuild", "--json")
    assert json.loads(rebuilt)["differences"] == []


@pytest.fixture(scope="module")
def refused(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, subprocess.CompletedProcess[str]]:
    """What wrong settings lead to, by setting; together, for each tries for a while."""
    stranger = tmp_path_factory.mktemp("stranger") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    wrong = {"TIFFIN_KAFKA_CA_FILE": str(stranger), "TIFFIN_KAFKA_PASSWORD": WRONG_PASSWORD}
    with ThreadPoolExecutor() as pool:
        runs = {
            name: pool.submit(platform.try_cli, "topics", **{name: value})
            for name, value in wrong.items()
        }
        return {name: run.result() for name, run in runs.items()}


@pytest.mark.parametrize("setting", ["TIFFIN_KAFKA_CA_FILE", "TIFFIN_KAFKA_PASSWORD"])
def test_what_brokers_or_we_do_not_trust_is_told_and_not_shown(
    refused: dict[str, subprocess.CompletedProcess[str]], setting: str
) -> None:
    """A certificate that somebody else signed; a password that is not the user's."""
    done = refused[setting]
    assert done.returncode == 1
    assert "TIFFIN_KAFKA" in done.stderr
    assert WRONG_PASSWORD not in done.stdout + done.stderr
