"""`faust -A app ...` beside running workers, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from sandbox.card_numbers import VISA
from sandbox.platform import Platform, PlatformError
from sandbox.processes import MAX_WAIT_S
from tests.e2e.expected_topics import (
    ONE_PARTITION,
    PARTITIONS,
    READERS,
    SERVICES,
    TOPICS,
)
from tests.e2e.shop import PAID, REFUNDED, Shop

SECRET = "a-very-secret-thing"
CHANGELOGS = {f"tiffin-{service}-changelog" for service in SERVICES}


def cells(table: str) -> list[list[str]]:
    """The rows of one of our tables: columns are two spaces apart, a long cell goes on below itself."""
    lines = [line for line in table.splitlines() if not line.startswith(" ")]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_agents(platform: Platform) -> None:
    listed = json.loads(platform.run_cli("--json", "agents"))
    wanted = {(f"@{s}.{topic}", topic) for topic, readers in READERS.items() for s in readers}
    assert {(agent["name"], agent["topic"]) for agent in listed} == wanted


async def test_the_stripe_account_is_checked_by_command_and_by_every_worker(
    platform: Platform,
) -> None:
    told = json.loads(platform.run_cli("stripe", "check", "--json"))["checks"]
    assert {each["state"] for each in told} == {"OK"}, told
    for worker in platform.endpoints.workers:
        await holds(f"{worker}/metrics", 'tiffin_stripe_check{check="version",state="OK"} 1.0')


async def holds(url: str, line: str) -> None:
    """Wait until the text at this address has the line."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(MAX_WAIT_S):
        while True:
            async with http.get(url) as response:
                if line in await response.text():
                    return
            await asyncio.sleep(0.1)


def test_tables(platform: Platform) -> None:
    listed = json.loads(platform.run_cli("--json", "tables"))
    assert {table["name"] for table in listed} == SERVICES


def test_topics(platform: Platform) -> None:
    """What it prints is what Kafka has; a second run changes nothing, and --check agrees."""
    for arguments in (("topics",), ("topics", "--check")):
        _, *rows = cells(platform.run_cli(*arguments))
        listed = {name: (int(partitions), kept) for name, partitions, kept, *_ in rows}
        assert listed == {
            name: (1 if name in ONE_PARTITION else PARTITIONS, kept)
            for name, (kept, _) in TOPICS.items()
        }
        assert {row[-1] for row in rows} == {"kept"}
    known = (
        AdminClient({"bootstrap.servers": platform.bootstrap})
        .list_topics(timeout=MAX_WAIT_S)
        .topics
    )
    counts = {name: len(t.partitions) for name, t in known.items() if not name.startswith("__")}
    assert counts.keys() == TOPICS.keys() | CHANGELOGS
    assert {n for n, count in counts.items() if count != PARTITIONS} == ONE_PARTITION


def test_topics_finds_and_corrects_another_retention(platform: Platform) -> None:
    admin = AdminClient({"bootstrap.servers": platform.bootstrap})
    changes = {
        "payment-initiated": ("retention.ms", "60000"),
        "order-commands": ("message.timestamp.type", "CreateTime"),
        "tiffin-payments-changelog": ("message.timestamp.type", "CreateTime"),
    }
    topics = [
        ConfigResource(
            ResourceType.TOPIC, name,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            ],
        )
        for name, (key, value) in changes.items()
    ]  # fmt: skip
    for done in admin.incremental_alter_configs(topics).values():
        done.result()
    checked = platform.try_cli("topics", "--check")
    assert checked.returncode == 1
    for name in changes:
        assert name in checked.stderr
    assert "payment-processing" not in checked.stderr
    assert "changed" in platform.run_cli("topics")
    assert platform.try_cli("topics", "--check").returncode == 0
    for found in admin.describe_configs(topics[1:]).values():
        assert found.result()["message.timestamp.type"].value == "LogAppendTime"
        if found.result()["cleanup.policy"].value == "compact":
            assert found.result()["max.compaction.lag.ms"].value == str(24 * 3600 * 1000)


def test_topics_refuses_another_partition_count(platform: Platform) -> None:
    refused = platform.try_cli("topics", TIFFIN_PARTITIONS="4")
    assert refused.returncode == 1
    assert "payment-events has 3 partitions, not 4" in refused.stderr
    assert "payment-events-dlq" not in refused.stderr
    assert "TIFFIN_PARTITIONS" in refused.stderr


def test_topics_says_that_kafka_is_away(platform: Platform) -> None:
    refused = platform.try_cli("topics", TIFFIN_KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert refused.returncode == 1
    assert "127.0.0.1:1" in refused.stderr
    assert "TIFFIN_KAFKA_BOOTSTRAP" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {
                "TIFFIN_PARTITIONS": "0",
                "TIFFIN_STRIPE_SECRET_KEY": SECRET,
                "TIFFIN_KAFKA_BOTSTRAP": "kafka:9092",
            },
            {
                "TIFFIN_PARTITIONS": "greater than or equal to 1",
                "TIFFIN_STRIPE_SECRET_KEY": "sk_test_",
                "TIFFIN_KAFKA_BOTSTRAP": "TIFFIN_KAFKA_BOOTSTRAP",
            },
        ),
        ({"TIFFIN_SANDBOX": "0"}, {"TIFFIN_ORDER_TOKEN_KEY": "TIFFIN_SANDBOX=1"}),
    ],
    ids=["each by itself", "what only the sandbox has"],
)
def test_wrong_settings_are_named(
    platform: Platform, settings: dict[str, str], told: dict[str, str]
) -> None:
    refused = platform.try_cli("worker", **settings)
    assert refused.returncode == 2
    lines = dict(line.split(": ", 1) for line in refused.stderr.splitlines() if ": " in line)
    assert all(accepted in lines[name] for name, accepted in told.items())
    assert SECRET not in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr


async def test_order_payment_and_orders(shop: Shop) -> None:
    buyer = await shop.buyer().place()
    await buyer.pay(VISA)
    await shop.ends(buyer, PAID)
    platform, id_ = shop.platform, buyer.order_id

    other = (await shop.owner(buyer) + 1) % len(shop.workers)
    order: dict[str, Any] = json.loads(platform.run_cli("order", id_, "--json", worker=other))
    assert (order["orderId"], order["status"]) == (id_, "PENDING")
    payment = json.loads(platform.run_cli("payment", id_, "--json"))
    assert (payment["paymentId"], payment["status"]) == (buyer.payment_id, "COMPLETED")
    # Both find an order by any id in one way.
    assert json.loads(platform.run_cli("payment", buyer.payment_id, "--json")) == payment
    intent = payment["stripeIntentId"]
    assert json.loads(platform.run_cli("order", intent, "--json"))["orderId"] == id_
    shown = platform.run_cli("payment", id_)
    assert "COMPLETED" in shown
    assert payment["amount"]["display"] in shown

    listed = json.loads(platform.run_cli("orders", "--state", "PENDING", "--json"))
    assert id_ in [each["orderId"] for each in listed["orders"]]
    assert {each["status"] for each in listed["orders"]} == {"PENDING"}
    assert id_ not in platform.run_cli("orders", "--state", "REFUNDED")


async def test_what_operations_shows_is_shown_over_ssh_by_any_worker(shop: Shop) -> None:
    """Every command that reads, and the two that change something, beside real workers."""
    buyer = await shop.buyer().place()
    await buyer.pay(VISA)
    await shop.ends(buyer, PAID)
    platform, id_ = shop.platform, buyer.order_id
    reading = {
        ("timeline", id_): "PAYMENT_COMPLETED",
        ("stuck", id_): "KITCHEN",
        ("stuck",): "byActor",
        ("overview",): "healthy",
        ("workers",): '"ready"',
        ("lag",): "order-events",
        ("refunds",): "counts",
        ("disputes",): "disputes",
        ("reconcile",): "verdict",
        ("report", "--by", "day"): "revenue",
        ("notifications", "--order", id_): "PAYMENT_COMPLETED",
        ("dead-letters",): "deadLetters",
        ("audit",): "entries",
        ("topics", "--check"): "payment-events",
        **{("table", service, id_): id_ for service in SERVICES - {"takings"}},
        ("table", "takings", "annapurna-bengaluru"): "gross",
        ("table", "analytics", "day/", "--where", "kind=row"): "captured",
        ("table", "orders", "--where", "state=PENDING", "--limit", "200"): id_,
        ("table", "payments", "--where", "open=true"): "lookedAt",
    }
    commands = list(reading)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda c: platform.try_cli(*c, "--json"), commands))
    for command, answer in zip(commands, answers, strict=True):
        assert answer.returncode == 0, f"{command}: {answer.stderr}"
        json.loads(answer.stdout)
        assert reading[command] in answer.stdout, command
    stored = json.loads(answers[commands.index(("table", "orders", id_))].stdout)["items"]
    assert stored[0]["value"]["placed"]["contact"] == "***"

    refund = ("refund", id_, "--amount", "1.00", "--yes", "--key", f"of-order-{id_}", "--json")
    first = await asyncio.to_thread(platform.run_cli, *refund)
    again = await asyncio.to_thread(platform.run_cli, *refund)
    assert json.loads(first)["refund"]["refundId"] == json.loads(again)["refund"]["refundId"]
    unasked = platform.try_cli("cancel", id_)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True)
    cancelled = json.loads(platform.run_cli("cancel", id_, "--yes", "--json"))
    assert (cancelled["status"], cancelled["refund"]) == ("CANCELLED", True)
    await shop.ends(buyer, replace(REFUNDED, refunds=2))


def test_scripts_know_why_nothing_was_answered(platform: Platform) -> None:
    ends = {
        ("order", "order_00000000000000000000000000"): (5, "no such order"),
        ("stuck", "--url", "http://127.0.0.1:1"): (3, "faust -A app worker"),
        ("stuck", "--token", "nobody"): (4, "TIFFIN_OPERATOR_TOKEN"),
    }
    for command, (status, told) in ends.items():
        ended = platform.try_cli(*command)
        assert (ended.returncode, told in ended.stderr) == (status, True), ended.stderr
        assert not ended.stdout
    without_token = platform.try_cli("orders", TIFFIN_SANDBOX="0")
    assert (without_token.returncode, "--token" in without_token.stderr) == (4, True)


def test_an_unknown_order_is_an_error(platform: Platform) -> None:
    with pytest.raises(PlatformError, match="no such order"):
        platform.run_cli("order", "order_00000000000000000000000000")
    with pytest.raises(PlatformError, match="no order that is known"):
        platform.run_cli("payment", "pay_00000000000000000000000000")
