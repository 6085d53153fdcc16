"""Operators at work on a whole platform: dead letters, what is stuck, lag, audit, search, any past moment."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from app.dead_letters.log import MARKER
from app.settings import SANDBOX_TOKEN_KEY
from models import topics
from models.commands import CancelOrder, CancelPayment, Command, CommandType, NoData
from models.messages import Message, encode
from models.times import to_rfc3339
from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S
from tests.support.kafka_invariants import Topics, check_cloudevent
from tests.support.platforms import PATIENT, BreakablePlatform
from web.http.tokens import DevelopmentStaff, Role

WITHIN_S = MAX_WAIT_S
LETTERS = "/api/ops/dead-letters"
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOTHING = NoData()
KITCHEN = (CommandType.ACCEPT_ORDER, CommandType.START_PREPARING, CommandType.MARK_READY)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BreakablePlatform]:
    platform = BreakablePlatform(
        tmp_path_factory.mktemp("operations"),
        workers=2,
        settings=PATIENT,
    )
    platform.break_at({})
    with platform:
        yield platform


@dataclass
class Operator:
    """One who may do everything, and a kitchen; asks the first worker unless told otherwise."""

    platform: BreakablePlatform
    session: aiohttp.ClientSession
    staff: DevelopmentStaff = field(
        default_factory=lambda: DevelopmentStaff(SANDBOX_TOKEN_KEY, sandbox=True)
    )

    async def ask(
        self, method: str, path: str, body: Any = None, *, worker: int = 0, key: str | None = None
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.staff.issue(Role.OPERATOR, 'olga')}"}
        if key:
            headers["Idempotency-Key"] = key
        url = self.platform.endpoints.workers[worker] + path
        async with self.session.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str, worker: int = 0) -> Any:
        status, answer = await self.ask("GET", path, worker=worker)
        assert status == 200, answer
        return answer

    async def step(self, order_id: str, step: str) -> int:
        """The kitchen's, done by the operator; the status of the answer."""
        path = f"/api/orders/{order_id}/{step}"
        return (await self.ask("POST", path, {}, key=str(uuid.uuid4())))[0]

    async def turned_away(self, order_id: str, count: int, service: str = "orders") -> list[Any]:
        """Its open dead letters, once there are at least so many."""

        async def look() -> Any:
            found = await self.open_letters(order_id, service)
            return found if len(found) >= count else None

        return list(await self.until(f"{service} to turn {count} away", look))

    async def open_letters(
        self, order_id: str, service: str = "orders", worker: int = 0
    ) -> list[Any]:
        """What died first comes first."""
        found = await self.get(f"{LETTERS}?order={order_id}&service={service}", worker)
        return list(reversed(found["deadLetters"]))

    async def until(self, what: str, look: Callable[[], Awaitable[Any]]) -> Any:
        """Look until it gives something."""
        until = time.monotonic() + WITHIN_S
        while not (found := await look()):
            assert time.monotonic() < until, f"not within {WITHIN_S} s: {what}"
            await asyncio.sleep(0.1)
        return found

    async def status_is(self, order_id: str, status: str) -> Any:
        async def look() -> Any:
            view = await self.get(f"/api/orders/{order_id}")
            return view if view["status"] == status else None

        return await self.until(f"{order_id} to be {status}", look)


@pytest.fixture
async def operator(platform: BreakablePlatform) -> AsyncIterator[Operator]:
    timeout = aiohttp.ClientTimeout(total=WITHIN_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Operator(platform, session)
    platform.break_at({})


@pytest.fixture
async def paid(operator: Operator) -> str:
    """An order that waits for its kitchen, and nothing else is under way for it."""
    endpoints = operator.platform.endpoints
    async with Customer(endpoints.workers[0], endpoints.stripe) as guest:
        await guest.open_payment()
        await guest.confirm()
    order_id = guest.order_id

    async def is_at_rest() -> Any:
        timeline = await operator.get(f"/api/orders/{order_id}/timeline")
        heard = {
            entry["detail"].get("stripeEventType", entry["eventType"])
            for entry in timeline["entries"]
        }
        is_told = {"payment_intent.succeeded", "DELIVERY_CREATED"} <= heard
        return is_told and (await operator.get("/api/ops/lag"))["total"] == 0

    await operator.until("all that follows from a payment", is_at_rest)
    return order_id


def put(platform: Platform, topic: str, key: bytes | None, *values: bytes) -> None:
    """Send records as an application outside does."""
    producer = Producer({"bootstrap.servers": platform.bootstrap, "partitioner": "murmur2_random"})
    for value in values:
        producer.produce(topic, key=key, value=value, headers=[("traceparent", TRACE)])
    assert producer.flush(30) == 0


def command(order_id: str, kind: CommandType, number: int = 0, data: Message = NOTHING) -> bytes:
    return encode(
        Command(
            order_id=order_id, command_id=f"{kind}_{number}", command_type=kind, data=data,
            issued_at="2026-01-01T00:00:00.000Z", issued_by="operator:test",
        )
    )  # fmt: skip


async def check_discards(operator: Operator, letter: dict[str, Any]) -> None:
    """Rehearsed alone and with the redrive of two others, which hold the order as long as they are open."""
    path = f"{LETTERS}/{letter['deadLetterId']}/discard"
    for rest in (False, True):
        body = {"reason": "wrong", "dryRun": True, "redriveRest": rest}
        status, told = await operator.ask("POST", path, body)
        assert (status, told["refused"], told["quarantined"]) == (200, False, not rest)
        verdicts = [step["verdict"] for step in told["steps"]]
        assert (verdicts[0], len(verdicts)) == ("DEAD", 3 if rest else 1)


async def test_quarantined_order_is_rehearsed_redriven_and_goes_on(
    operator: Operator, paid: str
) -> None:
    operator.platform.break_at({f"orders/{paid}": ["ACCEPT_ORDER"]})
    put(
        operator.platform, topics.ORDER_COMMANDS, paid.encode(),
        *(command(paid, kind) for kind in KITCHEN),
    )  # fmt: skip
    first, second, third = await operator.turned_away(paid, 3)
    assert await operator.step(paid, "ready") == 503
    assert (first["error"], first["message"]) == ("builtins.RuntimeError", "broken on request")
    assert [each["quarantined"] for each in (first, second, third)] == [True] * 3

    stuck = await operator.get("/api/ops/stuck?subject=QUARANTINE")
    assert [(each["orderId"], each["what"], each["actor"]) for each in stuck["stuck"]] == [
        (paid, "orders", "OPERATOR")
    ]

    async def concerned() -> Any:
        overview = await operator.get("/api/ops/overview", worker=1)
        is_told = {"STUCK", "DEAD_LETTERS"} <= {each["code"] for each in overview["concerns"]}
        return overview if is_told else None

    assert not (await operator.until("the other worker to be concerned", concerned))["healthy"]
    shown = await operator.get(f"{LETTERS}/{first['deadLetterId']}", worker=1)
    assert shown["value"]["commandType"] == "ACCEPT_ORDER"
    assert shown["traceparent"] == TRACE.decode()
    assert shown["quarantine"]["firstDeadLetterId"] == first["deadLetterId"]
    assert shown["others"] == [second["deadLetterId"], third["deadLetterId"]]

    path = f"{LETTERS}/{first['deadLetterId']}/redrive"
    status, told = await operator.ask("POST", path, {"dryRun": True})
    assert (status, told["refused"], told["steps"][0]["verdict"]) == (200, True, "DEAD")
    assert told["quarantined"], "nothing would change"
    await check_discards(operator, first)
    status, problem = await operator.ask("POST", path, {})
    assert (status, problem["code"]) == (409, "DEAD_AGAIN")
    late = f"{LETTERS}/{third['deadLetterId']}/redrive"
    status, problem = await operator.ask("POST", late, {"allOfOrder": False})
    assert (status, problem["code"]) == (409, "REDRIVE_OUT_OF_ORDER")

    operator.platform.break_at({})
    cancel = command(paid, CommandType.CANCEL_ORDER, data=CancelOrder())
    put(operator.platform, topics.ORDER_COMMANDS, paid.encode(), cancel)
    await operator.turned_away(paid, 4)
    status, told = await operator.ask("POST", path, {"dryRun": True}, worker=1)
    assert [step["verdict"] for step in told["steps"]] == ["DECIDED"] * 4
    assert not told["quarantined"], "it would be released"
    assert [step["events"][0] for step in told["steps"]][:3] == [
        "ORDER_CONFIRMED", "ORDER_PREPARING", "ORDER_READY_FOR_PICKUP",
    ]  # fmt: skip
    assert len(await operator.open_letters(paid)) == 4, "a rehearsal changes nothing"

    status, told = await operator.ask("POST", path, {"reason": "mended"}, worker=1)
    assert (status, told["quarantined"], told.get("stopped")) == (200, False, None)
    assert not await operator.open_letters(paid)
    view = await operator.get(f"/api/orders/{paid}")
    assert view["status"] in {"CANCELLED", "REFUNDED"}
    assert list(view["reached"])[2:5] == ["CONFIRMED", "PREPARING", "READY_FOR_PICKUP"]
    assert not view["heldForOperator"]
    status, problem = await operator.ask("POST", path, {})
    assert (status, problem["code"]) == (409, "DEAD_LETTER_SETTLED")

    async def audited() -> Any:
        timeline = await operator.get(f"/api/orders/{paid}/timeline")
        acts = [e for e in timeline["entries"] if e["eventType"] == "DEAD_LETTER_REDRIVEN"]
        # What the cancel led to may have come back before the release, and was redriven as well.
        return acts if len(acts) >= 4 else None

    acts = await operator.until("the audit to tell it", audited)
    assert {(act["detail"]["by"], act["detail"]["reason"]) for act in acts} == {
        ("operator:olga", "mended")
    }


async def test_the_report_names_orders_that_may_be_missing_in_it(
    operator: Operator, paid: str
) -> None:
    async def report(worker: int = 0) -> Any:
        return await operator.get("/api/reports/payments?by=day&currency=INR", worker)

    async def named(worker: int) -> Any:
        return [(q["orderId"], q["service"]) for q in (await report(worker))["quarantined"]]

    async def refunds() -> int:
        return sum(total["refunds"] for total in (await report())["totals"])

    before = await refunds()
    assert await named(0) == []
    operator.platform.break_at({f"analytics/{paid}": ["PAYMENT_REFUND_PARTIAL"]})
    path, key = f"/api/payments/{paid}/refunds", str(uuid.uuid4())
    status, _ = await operator.ask("POST", path, {"amount": 300, "reason": "LATE"}, key=key)
    assert status == 201
    (letter,) = await operator.turned_away(paid, 1, "analytics")
    for worker in range(2):

        async def is_named(worker: int = worker) -> bool:
            return bool(await named(worker) == [(paid, "analytics")])

        await operator.until("the report to name it", is_named)
    assert await refunds() == before, "it is not counted"
    operator.platform.break_at({})
    path = f"{LETTERS}/{letter['deadLetterId']}/redrive"
    status, told = await operator.ask("POST", path, {"reason": "mended"})
    assert (status, told["quarantined"]) == (200, False), told

    async def is_counted() -> bool:
        return bool(await refunds() == before + 1 and not await named(1))

    await operator.until("it to be counted", is_counted)


async def test_poison_is_discarded_and_the_rest_redriven(operator: Operator, paid: str) -> None:
    operator.platform.break_at({f"orders/{paid}": ["MARK_READY"]})
    kinds = (CommandType.MARK_READY, CommandType.ACCEPT_ORDER)
    put(
        operator.platform, topics.ORDER_COMMANDS, paid.encode(),
        *(command(paid, kind) for kind in kinds),
    )  # fmt: skip
    poison, parked = await operator.turned_away(paid, 2)
    path = f"{LETTERS}/{poison['deadLetterId']}/discard"
    status, problem = await operator.ask("POST", path, {"redriveRest": True})
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED"), "a reason is needed"
    body = {"reason": "can't be mended", "redriveRest": True}
    status, told = await operator.ask("POST", path, body)
    assert status == 200, told
    assert [step["deadLetterId"] for step in told["steps"]] == [
        poison["deadLetterId"], parked["deadLetterId"],
    ]  # fmt: skip
    assert not told["quarantined"]
    assert (await operator.status_is(paid, "CONFIRMED"))["heldForOperator"] is False
    settled = await operator.get(f"{LETTERS}?order={paid}&state=ALL")
    assert {each["deadLetterId"]: each["state"] for each in settled["deadLetters"]} == {
        poison["deadLetterId"]: "DISCARDED", parked["deadLetterId"]: "REDRIVEN",
    }  # fmt: skip


async def test_timeline_is_quarantined_and_whole_again_and_every_moment_can_be_seen(
    operator: Operator, paid: str
) -> None:
    """Its audit of the redrive is one of its own inputs. Then the views of then are shown again."""
    seen = [await operator.get(f"/api/orders/{paid}")]
    operator.platform.break_at({f"timeline/{paid}": ["ORDER_CONFIRMED"]})
    for step in ("accept", "start-preparing", "ready"):
        assert await operator.step(paid, step) == 200
        seen.append(await operator.get(f"/api/orders/{paid}"))

    letters = await operator.turned_away(paid, 3, "timeline")
    status, problem = await operator.ask("GET", f"/api/orders/{paid}?asOf=2030-01-01T00:00:00Z")
    assert (status, problem["code"]) == (503, "ORDER_QUARANTINED")
    stuck = await operator.get("/api/ops/stuck?subject=QUARANTINE")
    assert [each["what"] for each in stuck["stuck"]] == ["timeline"]

    operator.platform.break_at({})
    path = f"{LETTERS}/{letters[0]['deadLetterId']}/redrive"
    status, told = await operator.ask("POST", path, {})
    assert (status, told["quarantined"]) == (200, False), told
    for view in seen:
        then = await operator.get(f"/api/orders/{paid}?asOf={view['updatedAt']}")
        assert then.pop("asOf") == view["updatedAt"]
        for each in (view, then):
            each.update(versions={}, deadlines={})
        # The delivery is a service of its own, and may have begun a moment later than the order.
        assert {**then, "delivery": 0} == {**view, "delivery": 0}
    later = await operator.get(f"/api/orders/{paid}?asOf=2030-01-01T00:00:00%2B02:00")
    assert later["delivery"]["status"] == "PENDING"
    before = to_rfc3339(1_700_000_000_000)
    status, problem = await operator.ask("GET", f"/api/orders/{paid}?asOf={before}")
    assert (status, problem["code"]) == (404, "ORDER_UNKNOWN")
    status, problem = await operator.ask("GET", f"/api/orders/{paid}?asOf=2026-01-01T00:00:00")
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED")


async def test_a_redrive_that_is_cut_off_can_be_repeated(operator: Operator, paid: str) -> None:
    """The worker that redrives is killed in the middle; nothing is lost, and nothing done twice."""
    count = 25
    operator.platform.break_at({f"payments/{paid}": ["*"]})
    values = [
        command(paid, CommandType.CANCEL_PAYMENT, number, CancelPayment(reason="test"))
        for number in range(count)
    ]
    put(operator.platform, topics.PAYMENT_COMMANDS, paid.encode(), *values)

    letters = await operator.turned_away(paid, count, "payments")
    operator.platform.break_at({})
    overview = await operator.get("/api/ops/overview")
    partition = letters[0]["partition"]
    (owner,) = [w["url"] for w in overview["workers"] if partition in w["partitions"]]
    victim = operator.platform.endpoints.workers.index(owner)
    path = f"{LETTERS}/{letters[0]['deadLetterId']}/redrive"
    first = asyncio.create_task(operator.ask("POST", path, {}, worker=1 - victim))

    async def begun() -> Any:
        assert not first.done(), first.result()
        left = len(await operator.open_letters(paid, "payments", 1 - victim))
        return left < count

    await operator.until("the redrive to begin", begun)
    operator.platform.workers[victim].kill()
    await asyncio.gather(first, return_exceptions=True)

    async def again() -> Any:
        found = await operator.open_letters(paid, "payments", 1 - victim)
        if not found:
            return True
        again = f"{LETTERS}/{found[0]['deadLetterId']}/redrive"
        status, told = await operator.ask("POST", again, {}, worker=1 - victim)
        return status == 200 and not told["quarantined"]

    await operator.until("the rest to be redriven", again)

    async def told() -> Any:
        _, found = await operator.ask("GET", f"/api/orders/{paid}/timeline", worker=1 - victim)
        causes = [
            entry["detail"]["commandId"]
            for entry in found.get("entries", ())
            if entry["eventType"] == "COMMAND_REFUSED"
        ]
        return causes if len(causes) >= count else None

    causes = await operator.until("the timeline to tell all", told)
    assert causes == [f"CANCEL_PAYMENT_{number}" for number in range(count)]
    await asyncio.to_thread(operator.platform.wait_ready)


async def test_what_no_service_can_read_can_only_be_discarded(operator: Operator) -> None:
    put(operator.platform, topics.ORDER_COMMANDS, b"\xff\xfe", b'{"contact":{"name":"Asha"')

    async def found() -> Any:
        listed = await operator.get(f"{LETTERS}?topic={topics.ORDER_COMMANDS}")
        return [each for each in listed["deadLetters"] if "key" not in each]

    (letter,) = await operator.until("the dead letter", found)
    path = f"{LETTERS}/{letter['deadLetterId']}"
    shown = await operator.get(path)
    assert (shown["format"], shown["bytes"], shown["masked"]) == ("text", 25, True)
    assert shown["value"] == '{"contact":{"name":"***"'
    whole = await operator.get(f"{path}?personal=true")
    assert whole["value"] == '{"contact":{"name":"Asha"'
    status, problem = await operator.ask("POST", f"{path}/redrive", {"dryRun": True})
    assert (status, problem["code"]) == (409, "DEAD_AGAIN")
    cli = operator.platform.run_cli
    args = (
        "dead-letters",
        "discard",
        letter["deadLetterId"],
        "--reason",
        "no key",
        "--yes",
        "--json",
    )
    told = json.loads(await asyncio.to_thread(cli, *args))
    assert told["steps"][0]["deadLetterId"] == letter["deadLetterId"]
    listed = json.loads(await asyncio.to_thread(cli, "dead-letters", "--state", "ALL", "--json"))
    (same,) = [
        each for each in listed["deadLetters"] if each["deadLetterId"] == letter["deadLetterId"]
    ]
    assert (same["state"], same["by"], same["reason"]) == ("DISCARDED", "operator:cli", "no key")

    async def audited() -> Any:
        audit = await operator.get("/api/ops/audit?limit=5")
        return [
            each
            for each in audit["entries"]
            if each["data"].get("deadLetterId") == letter["deadLetterId"]
        ]

    (act,) = await operator.until("the audit to tell it", audited)
    assert (act["eventType"], act["orderId"]) == ("DEAD_LETTER_DISCARDED", "no-order")


async def test_orders_are_found_by_any_id(operator: Operator, paid: str) -> None:
    view = await operator.get(f"/api/orders/{paid}")
    timeline = await operator.get(f"/api/orders/{paid}/timeline")
    webhooks = [
        entry["detail"]["stripeEventId"]
        for entry in timeline["entries"]
        if entry["eventType"] == "WEBHOOK_RECEIVED"
    ]
    known = {
        paid, view["paymentId"], view["payment"]["stripeIntentId"],
        view["payment"]["stripeChargeId"], timeline["entries"][-1]["eventId"], *webhooks,
    }  # fmt: skip
    for each in known:
        for worker in (0, 1):
            found = await operator.get(f"/api/ops/search?q={each}", worker=worker)
            assert [order["orderId"] for order in found["orders"]] == [paid], each
            assert found["incomplete"] == []
    contact = view["contact"]
    for text in (
        view["reference"], contact["email"], contact["phone"], contact["name"], "4242",
        view["amount"]["display"],
    ):  # fmt: skip
        for worker in (0, 1):
            _, found = await operator.ask("POST", "/api/ops/search", {"q": text}, worker=worker)
            assert paid in [order["orderId"] for order in found["orders"]], text
            assert found["incomplete"] == []

    async def audited() -> list[Any]:
        audit = await operator.get("/api/ops/audit?limit=500")
        return [each for each in audit["entries"] if each["eventType"] == "ORDERS_SEARCHED"]

    noted = await operator.until("the audit to tell it", audited)
    assert {kind for each in noted for kind in each["data"]["kinds"]} == {"email", "phone", "name"}
    for personal in contact.values():
        assert personal not in str(noted)
        for worker in (0, 1):
            assert personal not in operator.platform.log_path(worker).read_text()
    assert (await operator.get("/api/ops/search?q=pi_unheard_of"))["orders"] == []
    status, problem = await operator.ask("GET", "/api/ops/search?q=%22%2C%22")
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED")


async def test_logs_tell_of_a_quarantine_once(operator: Operator, paid: str) -> None:
    """At the worker that owns the order, with what is needed to find it."""
    operator.platform.break_at({f"orders/{paid}": ["ACCEPT_ORDER"]})
    kinds = (CommandType.ACCEPT_ORDER, CommandType.START_PREPARING)
    put(
        operator.platform, topics.ORDER_COMMANDS, paid.encode(),
        *(command(paid, kind, number=7) for kind in kinds),
    )  # fmt: skip
    first, _ = await operator.turned_away(paid, 2)

    async def told() -> Any:
        logs = [operator.platform.log_path(number).read_text() for number in range(2)]
        lines = [line for log in logs for line in log.splitlines() if paid in line]
        found = [line for line in lines if "dead letter" in line]
        return found if len(found) >= 2 else None

    quarantined, turned_away = await operator.until("the log to tell both", told)
    assert "an order is quarantined" in quarantined
    assert "became a dead letter" in turned_away
    assert first["deadLetterId"] in quarantined
    assert TRACE.decode() in quarantined
    operator.platform.break_at({})
    path = f"{LETTERS}/{first['deadLetterId']}/redrive"
    assert (await operator.ask("POST", path, {}))[0] == 200


async def test_an_operators_step_is_in_the_audit(operator: Operator, paid: str) -> None:
    assert await operator.step(paid, "accept") == 200

    async def audited() -> Any:
        audit = await operator.get("/api/ops/audit?limit=20")
        return [each for each in audit["entries"] if each["orderId"] == paid]

    (act,) = await operator.until("the audit to tell it", audited)
    assert (act["eventType"], act["data"]["by"]) == ("ORDER_CONFIRMED", "operator:olga")


def test_what_operators_did_bears_the_headers_of_every_record(platform: BreakablePlatform) -> None:
    """Runs after others have redriven and discarded."""
    reader = Topics(platform.bootstrap)
    try:
        records = reader.read()
    finally:
        reader.close()
    found = [
        record
        for record in records
        if record.headers.get("ce_source") == "/tiffin/operators" or MARKER in record.headers
    ]
    told = {record.headers["ce_type"] for record in found}
    assert told >= {"DEAD_LETTER_REDRIVEN", "DEAD_LETTER_DISCARDED", "QUARANTINE_RELEASED"}
    for record in found:
        assert record.headers.keys() >= {"traceparent", "ce_time"}
        check_cloudevent(record)
    without_value = [record for record in found if record.value is None]
    assert without_value
    assert not any("content-type" in record.headers for record in without_value)


@pytest.mark.usefixtures("paid")
async def test_every_worker_tells_its_lag(operator: Operator) -> None:
    lag = await operator.get("/api/ops/lag")
    known = {
        (row["service"], each["topic"], str(each["partition"]))
        for each in lag["partitions"]
        for row in each["services"]
    }

    async def at_rest() -> Any:
        told: dict[tuple[str, ...], float] = {}
        for url in operator.platform.endpoints.workers:
            async with operator.session.get(f"{url}/metrics") as response:
                families = text_string_to_metric_families(await response.text())
            for family in families:
                if family.name == "tiffin_consumer_lag":
                    told |= {
                        tuple(each.labels[name] for name in ("service", "topic", "partition")):
                        each.value
                        for each in family.samples
                    }  # fmt: skip
        return told if set(told.values()) == {0} else None

    assert set(await operator.until("nothing to wait", at_rest)) == known


async def test_waiting_lag_and_audit(operator: Operator, paid: str) -> None:
    waits = await operator.get(f"/api/ops/orders/{paid}/stuck")
    (kitchen,) = [each for each in waits["waiting"] if each["subject"] == "ORDER"]
    assert (kitchen["state"], kitchen["actor"], kitchen["stuck"]) == ("PENDING", "KITCHEN", False)

    assert await operator.step(paid, "ready") == 409

    async def refusal() -> Any:
        found = await operator.get("/api/ops/audit?limit=1")
        is_newest = any(entry["orderId"] == paid for entry in found["entries"])
        return found if is_newest else None

    audit = await operator.until("the refusal in the audit", refusal)
    seen = [each["eventId"] for each in audit["entries"]]
    newest = audit["entries"][0]
    while audit.get("next"):
        audit = await operator.get(f"/api/ops/audit?limit=1&before={audit['next']}")
        seen += [each["eventId"] for each in audit["entries"]]
    whole = await operator.get("/api/ops/audit?limit=500")
    assert seen == [each["eventId"] for each in whole["entries"]]
    assert (newest["eventType"], newest["data"]["code"]) == ("COMMAND_REFUSED", "NOT_ALLOWED_NOW")

    async def nothing_waits() -> Any:
        lag = await operator.get("/api/ops/lag", worker=1)
        assert lag["incomplete"] == []
        return lag if lag["total"] == 0 else None

    lag = await operator.until("everything to be decided", nothing_waits)
    rows = {(row["topic"], row["partition"]): row for row in lag["partitions"]}
    assert len(rows) == 3 * len({topic for topic, _ in rows})
    services = {row["service"] for row in rows["payment-events", 0]["services"]}
    assert {"orders", "timeline"} <= services
