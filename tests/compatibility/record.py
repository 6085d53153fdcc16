"""Makes a recording with today's code: `python -m tests.compatibility.record NAME`, by hand.

Plays orders on a whole platform (real Kafka, a worker, Stripe's stand-in, the mailbox), and writes down what
they left in Kafka, in RocksDB and at the HTTP API. It is not written unless today's code, replayed, gives
every byte of it again.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
from confluent_kafka import Consumer, Producer, TopicPartition
from rocksdict import AccessType, Options, Rdict

from sandbox.api_client import RefusedError, until
from sandbox.card_numbers import (
    DECLINED,
    INQUIRY,
    REFUND_FAILS,
    REFUND_PENDING,
    THREE_D_SECURE,
    VISA,
)
from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S, Supervised
from sandbox.staff import Staff
from tests.compatibility import stored
from tests.compatibility.adapter import FAILURE, READERS, SERVICES
from tests.compatibility.replay import check_sent, replay
from tests.compatibility.schedule import schedule
from tests.compatibility.stored import CHANGELOG, DEAD_LETTERS, Recording, Stored

PARTITIONS = 3
AMERICAN, BANK = "blue-door-brooklyn", "pm_usBankAccount_success"
TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
BY_HAND = ("put-by-hand", b"1")
"""Header of a record that no part of the platform sent."""
AGES_S = 2_000_000_000
"""Deadlines in another century: whoever starts on the recording later finds none that has passed."""
SHORT_S = 6
FULLY_ASKED = 3
"""Of so many orders the API is asked everything."""
PART_S = 120
"""What one part may take on a busy machine."""
RUN = {
    "channels": ["EMAIL", "SMS"],
    "notification_tries": 3,
    "notification_repeat_after_s": AGES_S,
}
RUNS = [
    {**RUN, "payment_deadline_s": SHORT_S, "kitchen_deadline_s": SHORT_S},
    {**RUN, "payment_deadline_s": AGES_S, "kitchen_deadline_s": AGES_S},
]
SETTINGS = {
    "TIFFIN_PAYMENT_METHODS": "automatic",
    "TIFFIN_NOTIFICATION_TRIES": "3",
    "TIFFIN_NOTIFICATION_REPEAT_AFTER_S": str(AGES_S),
    "TIFFIN_NOTIFICATION_MAX_AGE_S": str(AGES_S),
    "TIFFIN_NOTIFICATION_FIRST_PAUSE_S": "0.05",
    "TIFFIN_NOTIFICATION_LONGEST_PAUSE_S": "0.2",
    "TIFFIN_STRIPE_WRITE_TIMEOUT_S": "3",
    "TIFFIN_RECONCILE_AFTER_S": "2",
    "TIFFIN_RECONCILE_INTERVAL_S": "2",
    "TIFFIN_RECONCILIATION_GRACE_S": "2",
    "TIFFIN_RECONCILIATION_INTERVAL_S": "20",
    "TIFFIN_COMMAND_WAIT_S": "60",
    "TIFFIN_CONSISTENCY_WAIT_S": "60",
    "TIFFIN_CONFIRM_WAIT_S": "60",
    "TIFFIN_GROUP_INSTANCE_ID": "one",
}


def settings_of(run: dict[str, Any]) -> dict[str, str]:
    """TIFFIN_* variables of a run's worker."""
    deadlines = ("payment_deadline_s", "kitchen_deadline_s")
    return SETTINGS | {f"TIFFIN_{name.upper()}": str(run[name]) for name in deadlines}


class RecordedPlatform(Platform):
    """One worker, whose services fail on request (tests/support/breakable_app.py)."""

    def environment(self, worker: int = 0) -> dict[str, str]:
        return {**super().environment(worker), "BREAKAGE": str(self.folder / "breakage.json")}

    def _make_worker(self, number: int) -> Supervised:
        worker = super()._make_worker(number)
        worker.argv[worker.argv.index("-A") + 1] = "tests.support.breakable_app"
        return worker

    def break_at(self, **breakage: list[str]) -> None:
        """From now on these services fail at these messages of an order: "service/order" -> types."""
        draft = self.folder / "breakage.new"
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(breakage))
        draft.rename(self.folder / "breakage.json")

    def change(self, run: dict[str, Any]) -> None:
        """Stop the worker in good order and start it with the settings of another run."""
        self.workers[0].terminate()
        self._more_settings = settings_of(run)
        self.workers[0] = self._make_worker(0)
        self.workers[0].start()
        self.wait_ready()

    def kill(self) -> None:
        """The worker dies in the midst, and the next one takes over."""
        worker = self.workers[0]
        deaths = len(worker.exits)
        worker.kill()
        worker.wait_exits(deaths + 1, timeout_s=MAX_WAIT_S)
        self.wait_ready()


class Day:
    """Customers, staff and Stripe, on one platform. orders: name of what was played -> order id."""

    def __init__(self, platform: RecordedPlatform, stack: AsyncExitStack) -> None:
        self.platform, self.stack = platform, stack
        self.ends = platform.endpoints
        self.orders: dict[str, str] = {}

    async def open(self) -> Day:
        timeout = aiohttp.ClientTimeout(total=MAX_WAIT_S)
        self.http = await self.stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        self.olga = await self.staff("operator", "olga")
        return self

    async def staff(self, *who: str) -> Staff:
        return await self.stack.enter_async_context(Staff(self.ends.workers[0], *who))

    async def post(self, url: str, body: Any) -> Any:
        async with self.http.post(url, json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def control(self, path: str, body: Any = None) -> Any:
        """What happens at Stripe without us."""
        return await self.post(self.ends.control + path, body or {})

    async def mail_fails(self, channel: str, times: int, code: int) -> None:
        fault = {"channel": channel, "kind": "refuse", "times": times, "code": code}
        await self.post(f"{self.ends.mailbox}/_control/faults", fault)

    async def act(self, path: str, body: Any = None) -> dict[str, Any]:
        """What an operator does."""
        key = str(uuid.uuid4())

        async def done() -> dict[str, Any]:
            _, answer = await self.olga.call("POST", path, body or {}, key)
            return dict(answer)

        return await until(done, path, MAX_WAIT_S, (404, 409, 503))

    async def has(self, path: str, holds: Callable[[Any], Any], what: str) -> Any:
        """What an operator reads, once something holds of it; gives what `holds` gave."""

        async def seen() -> Any:
            return holds(await self.olga.get(path)) or None

        return await until(seen, what, MAX_WAIT_S, (404, 409, 503))

    async def rest(self) -> None:
        """Until everything that was sent has been decided, for a while."""
        quiet = 0
        while quiet < 4:
            lag = await self.has("/api/ops/lag", lambda view: view, "the lag")
            quiet = quiet + 1 if lag["total"] == 0 else 0
            await asyncio.sleep(0.25)

    async def placed(self, name: str, restaurant: str | None = None) -> Customer:
        somebody = Customer(self.ends.workers[0], self.ends.stripe)
        await self.stack.enter_async_context(somebody)
        await somebody.open_payment(await somebody.basket(restaurant))
        self.orders[name] = somebody.order_id
        return somebody

    async def paid(self, name: str, card: str = VISA) -> Customer:
        somebody = await self.placed(name)
        await somebody.confirm(card)
        await somebody.wait_status("PENDING")
        return somebody

    async def payment(self, somebody: Customer, holds: Callable[[Any], Any], what: str) -> Any:
        path = f"/api/payments/{somebody.order_id}"
        return await self.has(path, lambda view: view if holds(view) else None, what)

    async def intent(self, somebody: Customer) -> str:
        view = await self.payment(somebody, lambda view: view["stripeIntentId"], "an intent")
        return str(view["stripeIntentId"])

    async def step(self, somebody: Customer, *steps: str, body: Any = None) -> None:
        """What the kitchen does."""
        for step in steps:
            await self.act(f"/api/orders/{somebody.order_id}/{step}", body)

    async def refund(self, somebody: Customer, amount: int | None = None) -> None:
        body = {"reason": "QUALITY"} | ({"amount": amount} if amount else {})
        await self.act(f"/api/payments/{somebody.order_id}/refunds", body)

    def put(
        self, topic: str, key: bytes | None, *values: bytes | None, partition: int = -1
    ) -> None:
        """Send records as somebody outside does."""
        producer = Producer(
            {"bootstrap.servers": self.platform.bootstrap, "partitioner": "murmur2_random"}
        )
        for value in values:
            producer.produce(topic, value, key, partition, headers=[TRACE, BY_HAND])
        assert producer.flush(30) == 0


# -- what is played ---------------------------------------------------------------------------------


async def deadlines_pass(day: Day) -> None:
    """With short deadlines: nobody pays one order, no kitchen answers another."""
    unpaid = await day.placed("unpaid in time")
    unanswered = await day.paid("no kitchen answered")
    await unpaid.wait_status("CANCELLED")
    await unanswered.wait_status("REFUNDED")


async def delivered(day: Day) -> None:
    """From Pay to Delivered; then parts of the money go back, and the rest."""
    somebody = await day.paid("delivered, then refunded in parts")
    await day.step(somebody, "accept", "start-preparing", "ready")
    courier = await day.staff("courier", "carl")
    for step in ("assign", "pick-up", "deliver"):

        async def taken(step: str = step) -> Any:
            return await courier.deliver(somebody.order_id, step)

        await until(taken, step, MAX_WAIT_S, (404, 409, 503))
    await somebody.wait_status("DELIVERED")
    for amount in (300, 200, None):
        await day.refund(somebody, amount)
    await day.payment(somebody, lambda view: view["net"]["amount"] == 0, "nothing left")


async def declined_and_paid(day: Day) -> None:
    """Two declines: the second message is held, and superseded by that of the success."""
    somebody = await day.placed("declined twice, then paid")
    for _ in range(2):
        answer = await somebody.confirm(DECLINED)
        assert answer["status"] == "FAILED", answer
    await somebody.wait_status("PAYMENT_FAILED")
    await somebody.confirm(VISA)
    await somebody.wait_status("PENDING")


async def declined_only(day: Day) -> None:
    """Stays so, with a message that is held."""
    somebody = await day.placed("declined twice")
    for _ in range(2):
        await somebody.confirm(DECLINED)
    await somebody.wait_status("PAYMENT_FAILED")


async def cancelled(day: Day) -> None:
    """Cancelled unpaid, paid, and by the kitchen; and what is refused."""
    unpaid = await day.placed("cancelled unpaid")
    await unpaid.cancel()
    await unpaid.wait_status("CANCELLED")
    paid = await day.paid("cancelled paid")
    await paid.cancel()
    await paid.wait_status("REFUNDED")
    with suppress(RefusedError):
        await paid.confirm()
    rejected = await day.paid("rejected by the kitchen")
    await day.step(rejected, "reject", body={"reason": "OUT_OF_STOCK"})
    await rejected.wait_status("REFUNDED")
    late = await day.paid("cancelled while it was prepared")
    await day.step(late, "accept", "start-preparing")
    await late.wait_status("PREPARING")
    await day.act(f"/api/orders/{late.order_id}/cancel", {"reason": "OPERATOR_REQUEST"})
    await late.wait_status("REFUNDED")


async def secured(day: Day) -> None:
    """3-D Secure: failed, then succeeded."""
    somebody = await day.placed("3-D Secure failed, then succeeded")
    for succeed in (False, True):
        answer = await somebody.confirm(THREE_D_SECURE)
        assert answer["status"] == "REQUIRES_ACTION", answer
        await somebody.authenticate(answer["clientSecret"], succeed=succeed)
        await somebody.wait_status("PENDING" if succeed else "PAYMENT_FAILED")


async def by_bank(day: Day) -> None:
    """A debit that takes days, in another currency."""
    somebody = await day.placed("paid by bank", AMERICAN)
    body = {"orderId": somebody.order_id, "paymentMethodId": BANK}
    confirming = asyncio.create_task(
        somebody.call("POST", "/api/payments/confirm", body, str(uuid.uuid4()))
    )
    intent = await day.intent(somebody)
    await day.payment(somebody, lambda view: view["status"] == "PROCESSING", "the debit")
    await asyncio.sleep(3)  # Stripe is asked about it meanwhile
    await day.control("/settle", {"payment_intent": intent, "outcome": "succeed"})
    await somebody.wait_status("PENDING")
    await asyncio.gather(confirming, return_exceptions=True)


async def refunds_fail(day: Day) -> None:
    """A refund that fails and is tried again; one that succeeded and fails later."""
    for name, card in (
        ("refund failed, then retried", REFUND_PENDING),
        ("refund reversed", REFUND_FAILS),
    ):
        somebody = await day.paid(name, card)
        await somebody.cancel()
        await somebody.wait_status("CANCELLED" if card == REFUND_PENDING else "REFUNDED")
        view = await day.payment(
            somebody,
            lambda view: view["refunds"] and view["refunds"][0].get("stripeRefundId"),
            "it",
        )
        refund = view["refunds"][0]
        body = {"refund": refund["stripeRefundId"], "outcome": "fail"}
        await day.control("/settle", body)
        await day.payment(
            somebody, lambda view: view["refunds"][0]["status"] == "FAILED", "the failure"
        )
        if card == REFUND_PENDING:
            path = f"/api/payments/{somebody.order_id}/refunds/{refund['refundId']}/retry"
            await day.act(path)
            view = await day.payment(
                somebody, lambda view: len(view["refunds"]) > 1
                and view["refunds"][-1].get("stripeRefundId"), "the second try",
            )  # fmt: skip
            body = {"refund": view["refunds"][-1]["stripeRefundId"], "outcome": "succeed"}
            await day.control("/settle", body)
            await somebody.wait_status("REFUNDED")


async def disputed(day: Day) -> None:
    """An inquiry, a dispute that is lost and one that is won, one open; a refund in the dashboard."""
    asked = await day.paid("asked about by the bank", INQUIRY)
    await day.payment(asked, lambda view: view["disputes"], "the inquiry")
    for outcome in ("lost", "won", None):
        somebody = await day.paid(f"disputed, {outcome or 'undecided'}")
        intent = await day.intent(somebody)
        dispute = await day.control("/disputes", {"payment_intent": intent, "reason": "fraudulent"})
        await day.payment(somebody, lambda view: view["disputes"], "the dispute")
        if outcome:
            body = {"dispute": dispute["id"], "outcome": outcome}
            await day.control("/disputes/close", body)
            await day.payment(
                somebody, lambda view, o=outcome: view["disputes"][0]["status"] == o, outcome
            )
    somebody = await day.paid("refunded in the dashboard")
    intent = await day.intent(somebody)
    await day.control("/dashboard_refund", {"payment_intent": intent, "amount": 500})
    await day.payment(somebody, lambda view: view["refunded"]["amount"] == 500, "the refund")


async def stripe_is_unwell(day: Day) -> None:
    """A confirm without an answer is looked up; a webhook that got lost is found."""
    somebody = await day.placed("confirmed without an answer")
    fault = {"kind": "timeout_after", "method": "POST", "path": "/confirm$", "times": 1}
    await day.control("/faults", fault)
    await somebody.confirm(VISA)
    await somebody.wait_status("PENDING")
    lost = await day.placed("its webhook was lost")
    intent = await day.intent(lost)
    await day.control("/webhooks/rules", {"kind": "lose", "payment_intent": intent, "times": None})
    await lost.confirm(VISA)
    await lost.wait_status("PENDING")

    def is_found(view: Any) -> bool:
        return "run" in view and bool(view["run"].get("missingTotal") or view.get("missing"))

    try:
        await day.has("/api/ops/reconciliation", is_found, "the reconciliation to find it")
    except TimeoutError:
        view = await day.olga.get("/api/ops/reconciliation")
        raise AssertionError(view) from None


async def unreachable(day: Day) -> None:
    """Messages fail: refused for good, tried again, left to an operator who retries."""
    for channel, code in (("EMAIL", 451), ("SMS", 503)):
        await day.mail_fails(channel, 3, code)
    somebody = await day.paid("messages retried by an operator")
    path = f"/api/ops/notifications?order={somebody.order_id}"

    def waiting(view: Any) -> Any:
        found = [n for n in view["notifications"] if n["status"] == "WAITING_FOR_OPERATOR"]
        return found if len(found) == 2 else None

    for notification in await day.has(path, waiting, "two messages that wait"):
        name = notification["notificationId"]
        await day.act(f"/api/ops/notifications/{somebody.order_id}/{name}/retry")
    await day.mail_fails("EMAIL", 1, 550)
    refused = await day.paid("a mail refused for good")
    await day.rest()
    await refused.look()


async def quarantined(day: Day) -> None:
    """A service has a bug: the order's inputs are turned away, redriven in vain, and redriven."""
    somebody = await day.paid("quarantined and redriven")
    await day.rest()
    order_id = somebody.order_id
    day.platform.break_at(**{f"orders/{order_id}": ["ACCEPT_ORDER"]})
    accept = command(order_id, "ACCEPT_ORDER", issued_by="operator:test")
    day.put("order-commands", order_id.encode(), accept)
    prepare = command(order_id, "START_PREPARING", issued_by="operator:test")
    day.put("order-commands", order_id.encode(), prepare)
    path = f"/api/ops/dead-letters?order={order_id}&service=orders"
    letters = await day.has(path, lambda v: len(v["deadLetters"]) == 2 and v["deadLetters"], "two")
    day.platform.break_at()
    first = letters[-1]["deadLetterId"]
    await day.act(f"/api/ops/dead-letters/{first}/redrive", {"reason": "mended"})
    await somebody.wait_status("PREPARING")

    held = await day.paid("quarantined")
    await day.rest()
    day.platform.break_at(
        **{f"{service}/{held.order_id}": ["*"] for service in ("payments", "timeline")}
    )
    cancel = command(
        held.order_id, "CANCEL_PAYMENT", issued_by="operator:test",
        data={"reason": "CUSTOMER_REQUEST"},
    )  # fmt: skip
    day.put("payment-commands", held.order_id.encode(), cancel, cancel)
    await day.step(held, "accept")
    path = f"/api/ops/dead-letters?order={held.order_id}"
    services = {"payments", "timeline"}
    await day.has(path, lambda v: {x["service"] for x in v["deadLetters"]} >= services, "both")
    await day.rest()

    ended = day.orders["cancelled unpaid"]
    day.platform.break_at(**{f"orders/{ended}": ["*"]})
    day.put("order-commands", ended.encode(), command(ended, "MARK_READY", issued_by="operator:t"))
    path = f"/api/ops/dead-letters?order={ended}&service=orders"
    await day.has(path, lambda v: v["deadLetters"], "that of an order that has ended")
    await day.rest()
    day.platform.break_at()


async def nonsense(day: Day) -> None:
    """Records that nobody can act on, in every input topic; one of them is discarded."""
    foreign = "order_of_somebody_else"
    for topic in READERS:
        if READERS[topic]:
            day.put(topic, foreign.encode(), b"no JSON at all", b"{}", None, partition=0)
            day.put(topic, b"\xff\xfe", b"\xff{", partition=1)
            day.put(topic, None, command(foreign, "MAKE_COFFEE"), partition=2)
    event = {
        "eventId": "evt_foreign", "eventType": "PAYMENT_COMPLETED", "schemaVersion": 1,
        "occurredAt": "2026-01-01T00:00:00.000Z", "orderId": foreign, "paymentId": "pay_foreign",
        "sequence": 1, "causationId": "c", "correlationId": "c", "producer": "payments",
        "data": {"paymentId": "pay_foreign"},
    }  # fmt: skip
    day.put("payment-events", foreign.encode(), json.dumps(event).encode())
    path = "/api/ops/dead-letters?topic=order-commands"
    listed = await day.has(path, lambda view: view["deadLetters"], "the dead letters")
    for letter in listed[-2:]:
        name = letter["deadLetterId"]
        await day.act(f"/api/ops/dead-letters/{name}/discard", {"reason": "nonsense"})


async def repeated(day: Day) -> None:
    """What outside senders and a crashed engine send twice is dropped."""
    order_id = day.orders["delivered, then refunded in parts"]
    for topic in READERS:
        if READERS[topic]:
            found = [r for r in read_topic(day.platform.bootstrap, topic) if r.key]
            for record in [r for r in found if r.key == order_id.encode()][:1]:
                day.put(topic, record.key, record.value, record.value)
    hooks = read_topic(day.platform.bootstrap, "payment-webhook-received")
    theirs = [json.loads(hook.value or b"") for hook in hooks if hook.key == order_id.encode()]
    told = next(each for each in theirs if each["stripeEventType"] == "payment_intent.succeeded")
    told |= {"stripeEventId": "evt_other", "intent": {**told["intent"], "intentId": "pi_other"}}
    day.put("payment-webhook-received", order_id.encode(), json.dumps(told).encode())


async def left_as_they_are(day: Day) -> None:
    """Orders that the next worker finds in the midst: to be paid, and of every step of the kitchen."""
    await day.placed("to be paid")
    await day.paid("to be accepted")
    accepted = await day.paid("accepted")
    await day.step(accepted, "accept")
    ready = await day.paid("ready")
    await day.step(ready, "accept", "start-preparing", "ready")
    await day.has("/api/ops/search?q=" + ready.order_id, lambda view: view["orders"], "it")
    await day.act("/api/ops/search", {"q": "asha@example.com"})


def command(order_id: str, kind: str, *, issued_by: str = "", data: Any = None) -> bytes:
    """A command as somebody outside writes it."""
    return json.dumps(
        {
            "orderId": order_id, "commandId": f"{kind}_{order_id}", "commandType": kind,
            "issuedAt": "2026-01-01T00:00:00.000Z", "issuedBy": issued_by, "data": data or {},
        }
    ).encode()  # fmt: skip


LONG: tuple[Callable[[Day], Awaitable[None]], ...] = (
    delivered, declined_and_paid, declined_only, cancelled, secured, by_bank, refunds_fail, disputed,
    stripe_is_unwell, unreachable,
)  # fmt: skip


async def play(platform: RecordedPlatform) -> tuple[dict[str, str], dict[str, Any], list[int]]:
    """Play everything. Gives orders, answers, and when each run's worker was started."""
    starts_ms = [0]
    async with AsyncExitStack() as stack:
        day = await Day(platform, stack).open()
        await _tell(day, deadlines_pass)
        await day.rest()
        starts_ms.append(time.time_ns() // 1_000_000)
        await asyncio.to_thread(platform.change, RUNS[1])
        for part in LONG:
            await _tell(day, part)
        # In the midst of what follows from a payment; the next worker sends again what may not have left.
        somebody = await day.placed("paid while the worker died")
        await somebody.confirm(VISA)
        await asyncio.to_thread(platform.kill)
        await somebody.wait_status("PENDING")
        for part in (quarantined, nonsense, repeated, left_as_they_are):
            await _tell(day, part)
        await day.rest()
        await asyncio.sleep(3)
        await day.rest()
        answers = await ask(day.olga, day.orders)
        await asyncio.to_thread(platform.kill)
        await day.rest()
        again = await ask(day.olga, day.orders)
        kept = {path: answer for path, answer in answers.items() if again[path] == answer}
        print("Not the same after a restart, so left out:", sorted(answers.keys() - kept.keys()))
        return day.orders, kept, starts_ms


async def _tell(day: Day, part: Callable[[Day], Awaitable[None]]) -> None:
    began = time.monotonic()
    async with asyncio.timeout(PART_S):
        await part(day)
    print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)


async def ask(operator: Staff, orders: dict[str, str]) -> dict[str, Any]:
    """What the API says of all orders; a refusal is an answer too."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    paths = [
        "/api/ops/orders?limit=100", "/api/ops/refunds", "/api/ops/disputes",
        "/api/ops/notifications?limit=100", "/api/deliveries", "/api/ops/audit?limit=50",
        *(f"/api/kitchen/orders?restaurantId={each}" for each in ("annapurna-bengaluru", AMERICAN)),
        *(f"/api/reports/payments?by={by}&from={day}&to={day}T23:59:59Z" for by in ("day", "hour")),
    ]  # fmt: skip
    paths += [
        f"/api/ops/dead-letters?limit=100&state={state}"
        for state in ("OPEN", "REDRIVEN", "DISCARDED")
    ]
    for number, order_id in enumerate(orders.values()):
        paths += [
            f"/api/orders/{order_id}", f"/api/orders/{order_id}/timeline",
            f"/api/payments/{order_id}",
        ]  # fmt: skip
        if number < FULLY_ASKED:
            paths += [f"/api/ops/digests/{order_id}", f"/api/ops/search?q={order_id}"]
    return {path: await _ask(operator, path) for path in paths}


async def _ask(operator: Staff, path: str) -> Any:
    try:
        return await operator.get(path)
    except RefusedError as error:
        return {"refused": error.status, "code": error.code}


# -- what it left -----------------------------------------------------------------------------------


def read_topic(bootstrap: str, topic: str) -> list[Stored]:
    """All records of a topic, partition by partition."""
    return sorted(_read_topic(bootstrap, topic), key=lambda r: (r.partition, r.offset))


def _read_topic(bootstrap: str, topic: str) -> Iterator[Stored]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"recorder-{uuid.uuid4()}"})
    try:
        known = consumer.list_topics(topic, timeout=MAX_WAIT_S).topics[topic]
        places = [TopicPartition(topic, partition, 0) for partition in known.partitions]
        marks = [consumer.get_watermark_offsets(place, timeout=MAX_WAIT_S) for place in places]
        assert not any(low for low, _ in marks), f"{topic} has lost its first records"
        left = sum(high for _, high in marks)
        consumer.assign(places)
        while left:
            (record,) = consumer.consume(1, timeout=MAX_WAIT_S)
            assert record.error() is None, record.error()
            left -= 1
            headers = tuple(record.headers() or ())
            place = (record.partition(), record.offset(), record.timestamp()[1])
            by = () if topic.endswith(CHANGELOG) else _by(topic, record.partition(), headers)
            yield Stored(topic, *place, record.key(), record.value(), headers, by)
    finally:
        consumer.close()


def _by(topic: str, partition: int, headers: tuple[tuple[str, Any], ...]) -> Any:
    """The service that sent a record, and for which of its partitions."""
    told = {name: value.decode(errors="replace") for name, value in headers if value is not None}
    if topic == DEAD_LETTERS:
        is_letter = "tiffin-service" in told and "tiffin-marker" not in told
        return (
            (told["tiffin-service"], int(told["kafka_dlt-original-partition"])) if is_letter else ()
        )
    name = told.get("ce_source", "").removeprefix("/tiffin/")
    is_services = name in SERVICES and BY_HAND[0] not in told and "tiffin-redrive" not in told
    return (name, partition) if is_services else ()


def read_tables(folder: Path) -> dict[str, dict[int, dict[bytes, bytes]]]:
    """What RocksDB holds: service -> partition -> key -> value."""
    tables: dict[str, dict[int, dict[bytes, bytes]]] = {}
    for path in sorted(folder.glob("**/*.db")):
        service, _, partition = path.stem.rpartition("-")
        database = Rdict(str(path), Options(raw_mode=True), access_type=AccessType.read_only())
        found = {bytes(key): bytes(value) for key, value in database.items()}
        tables.setdefault(service, {})[int(partition)] = found
        database.close()
    return tables


def main(name: str) -> None:
    """Record."""
    assert not (stored.FOLDER / name).exists(), f"there is a recording {name} already"
    with tempfile.TemporaryDirectory() as folder:
        platform = RecordedPlatform(
            Path(folder), workers=1, settings=settings_of(RUNS[0]), settle_delay_s=-1
        )
        platform.break_at()
        with platform:
            orders, answers, starts_ms = asyncio.run(play(platform))
            platform.workers[0].terminate()
            recording = Recording(name, RUNS, [], orders, answers=answers)
            known = Consumer({"bootstrap.servers": platform.bootstrap, "group.id": "recorder"})
            for topic in sorted(known.list_topics(timeout=MAX_WAIT_S).topics):
                if not topic.startswith("__"):
                    recording.topics[topic] = read_topic(platform.bootstrap, topic)
            known.close()
            recording.tables = read_tables(platform.data_dir(0))
    for record in recording.topics[DEAD_LETTERS]:
        told = {k: v.decode(errors="replace") for k, v in record.headers if v is not None}
        if told.get("kafka_dlt-exception-message") == FAILURE and record.by:
            place = [
                told[f"kafka_dlt-original-{part}"] for part in ("topic", "partition", "offset")
            ]
            failed = (record.by[0], place[0], int(place[1]), int(place[2]))
            recording.failing.append(failed)
    recording.groups = schedule(recording, SERVICES, PARTITIONS, starts_ms)
    for service in SERVICES:
        for partition, replayed in replay(recording, service):
            check_sent(recording, service, partition, replayed)
    folder_of_it = stored.save(recording)
    size = sum(path.stat().st_size for path in folder_of_it.rglob("*") if path.is_file())
    types = Counter(
        kind
        for topic in recording.inputs
        for record in recording.topics[topic]
        for name_, value in record.headers
        if name_ == "ce_type" and (kind := (value or b"").decode())
    )
    print(
        f"{len(orders)} orders, {size} bytes; records of each type: {dict(sorted(types.items()))}"
    )


if __name__ == "__main__":
    main(sys.argv[1])
