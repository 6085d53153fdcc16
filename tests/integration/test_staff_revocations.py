"""Revoked tokens of staff, over real Kafka: every worker knows within seconds, and after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from app.kafka.reader import KafkaReader
from app.kafka.sender import KafkaCommandSender
from app.platform_identity import PlatformIdentity
from app.staff_revocations import StaffRevocations
from models.errors import KafkaUnavailableError, UnavailableError
from sandbox.kafka import KafkaBroker
from sandbox.processes import MAX_WAIT_S, free_port
from tests.integration.test_platform_identity import new_topic
from tests.support.waiting import until_true
from web.http.revoked_tokens import PERSON_KEPT_MS, RevocableStaff, Revocation, hash_of
from web.http.tokens import BadTokenError, DevelopmentStaff, Role

STAFF = DevelopmentStaff("d" * 32, sandbox=True)


def now_ms() -> int:
    return round(time.time() * 1000)


def person(subject: str, at_ms: int) -> Revocation:
    return Revocation(subject, "", at_ms, at_ms + PERSON_KEPT_MS, "operator:olga", "laptop stolen")


@pytest.fixture
async def sender(kafka: KafkaBroker) -> AsyncIterator[KafkaCommandSender]:
    made = KafkaCommandSender(kafka.bootstrap)
    yield made
    await made.stop()


async def worker(kafka: KafkaBroker, sender: KafkaCommandSender, topic: str) -> StaffRevocations:
    """A worker's part, which has not read yet. The audit is another topic's test."""
    reader = KafkaReader(kafka.bootstrap)
    identity = PlatformIdentity(sender, reader, topic=topic)
    assert await identity.read()
    return StaffRevocations(
        sender, reader, identity, active=lambda _: False, now_ms=now_ms, topic=topic
    )


async def test_other_workers_and_later_ones_refuse_what_one_revoked(
    kafka: KafkaBroker, sender: KafkaCommandSender
) -> None:
    topic = new_topic(kafka)
    first, second = [await worker(kafka, sender, topic) for _ in range(2)]
    verifier = RevocableStaff(STAFF, second.revoked)
    token, other = STAFF.issue(Role.OPERATOR, "otto"), STAFF.issue(Role.OPERATOR, "olga")
    with pytest.raises(UnavailableError):
        await verifier.verify(token)  # nobody is let in before Kafka has told
    second.start()
    await until_true(lambda: second.revoked.is_known)
    assert (await verifier.verify(token)).subject == "otto"
    await first.revoke(person("otto", now_ms()))
    await until_true(lambda: list(second.all()))
    with pytest.raises(BadTokenError, match="revoked"):
        await verifier.verify(token)
    assert (await verifier.verify(other)).subject == "olga"
    await second.stop()
    restarted = await worker(kafka, sender, topic)
    await restarted.read()
    with pytest.raises(BadTokenError, match="revoked"):
        await RevocableStaff(STAFF, restarted.revoked).verify(token)
    assert [each.reason for each in restarted.all()] == ["laptop stolen"]


async def test_a_revocation_is_no_id_of_the_platform(
    kafka: KafkaBroker, sender: KafkaCommandSender
) -> None:
    topic = new_topic(kafka)
    made = await worker(kafka, sender, topic)
    await made.revoke(person("otto", now_ms()))
    token = STAFF.issue(Role.COURIER, "carl")
    single = Revocation("carl", hash_of(token), now_ms(), now_ms() + 60_000, "operator:olga", "x")
    await made.revoke(single)
    identity = PlatformIdentity(sender, KafkaReader(kafka.bootstrap), topic=topic)
    assert await identity.read()
    assert len(identity.ids) == 1
    assert [each.subject for each in made.all()] == ["carl", "otto"]


async def test_without_kafka_nothing_is_said_to_be_revoked(
    kafka: KafkaBroker, sender: KafkaCommandSender
) -> None:
    away = KafkaReader(f"127.0.0.1:{free_port()}")
    identity = PlatformIdentity(sender, KafkaReader(kafka.bootstrap), topic=new_topic(kafka))
    made = StaffRevocations(sender, away, identity, active=lambda _: False, now_ms=now_ms)
    with pytest.raises(KafkaUnavailableError, match="not known yet"):
        await made.revoke(person("otto", now_ms()))
    async with asyncio.timeout(MAX_WAIT_S):
        with pytest.raises(KafkaUnavailableError):
            await made.read()
    assert not made.revoked.is_known


async def test_where_there_is_no_topic_nothing_was_revoked(
    kafka: KafkaBroker, sender: KafkaCommandSender
) -> None:
    reader = KafkaReader(kafka.bootstrap)
    identity = PlatformIdentity(sender, reader, topic="nonesuch-identity")
    made = StaffRevocations(
        sender, reader, identity, active=lambda _: False, now_ms=now_ms, topic="nonesuch-identity"
    )
    await made.read()
    assert made.revoked.is_known
