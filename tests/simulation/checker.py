"""Judges a history from outside: what Kafka holds, what Stripe's ledger says, what people were told.

It imports nothing of tables/, agents/ or app/, and decides nothing as they do: it reads JSON. A rule gives a
line for each violation that it finds.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

EVENTS = {"payment-events": "payments", "order-events": "orders", "delivery-events": "deliveries"}
"""Topic -> the service whose state its events are."""
COPIES = {
    "PAYMENT_INITIATED": "payment-initiated",
    "PAYMENT_PROCESSING": "payment-processing",
    "PAYMENT_COMPLETED": "payment-completed",
    "PAYMENT_FAILED": "payment-failed",
    "PAYMENT_CANCELLED": "payment-cancelled",
    "PAYMENT_REFUNDED": "payment-refunded",
    "PAYMENT_REFUND_PARTIAL": "payment-refund-partial",
    "PAYMENT_REFUND_INITIATED": "payment-refund-initiated",
}
COMMAND_TOPICS = (
    "order-commands",
    "payment-commands",
    "delivery-commands",
    "notification-commands",
)
DEAD_LETTERS = "payment-events-dlq"
PAYMENT_STATUS = {
    "PAYMENT_INITIATED": "PENDING", "PAYMENT_PROCESSING": "PROCESSING",
    "PAYMENT_COMPLETED": "COMPLETED", "PAYMENT_FAILED": "FAILED",
    "PAYMENT_CANCELLED": "CANCELLED", "PAYMENT_REFUNDED": "REFUNDED",
}  # fmt: skip
ORDER_STATUS = {
    "ORDER_PAYMENT_PENDING": "PAYMENT_PENDING", "ORDER_PAYMENT_FAILED": "PAYMENT_FAILED",
    "ORDER_CREATED": "PENDING", "ORDER_CONFIRMED": "CONFIRMED", "ORDER_PREPARING": "PREPARING",
    "ORDER_READY_FOR_PICKUP": "READY_FOR_PICKUP", "ORDER_OUT_FOR_DELIVERY": "OUT_FOR_DELIVERY",
    "ORDER_DELIVERED": "DELIVERED", "ORDER_CANCELLED": "CANCELLED", "ORDER_REFUNDED": "REFUNDED",
    "ORDER_REFUND_REVERSED": "CANCELLED",
}  # fmt: skip
DELIVERY_STATUS = {
    "DELIVERY_CREATED": "PENDING", "DELIVERY_ASSIGNED": "ASSIGNED",
    "DELIVERY_PICKED_UP": "PICKED_UP", "DELIVERY_DELIVERED": "DELIVERED",
    "DELIVERY_CANCELLED": "CANCELLED",
}  # fmt: skip
NEXT_PAYMENT = {
    None: {"PENDING"}, "PENDING": {"PROCESSING", "CANCELLED"},
    "PROCESSING": {"COMPLETED", "FAILED", "CANCELLED"}, "FAILED": {"PROCESSING", "CANCELLED"},
    "COMPLETED": {"REFUNDED"}, "REFUNDED": {"COMPLETED"}, "CANCELLED": {"PROCESSING"},
}  # fmt: skip
UNTAKEN_DISPUTES = {
    "won", "warning_needs_response", "warning_under_review", "warning_closed", "prevented",
}  # fmt: skip
PACKED = b'{"terminal":true,"packed":'
OWN_ROWS = (b"\0index/", b"\0sums", b"\0indexed", b"\0unread", b"\0claim")
"""Of a RocksDB, in no changelog; and the fence, which a worker that woke late may have written behind it."""
PROGRESS, FENCE = b"\0progress", b"\0claim"
INDEX = b"\0index/"


@dataclass
class Evidence:
    """What is judged.

    logs: (topic, partition) -> records, each with offset, key, value and headers. ends: their next offsets.
    databases: (table, partition) -> the owner's RocksDB. committed: (topic, partition) -> the group's offset.
    readers: input topic -> services that read it. letters: message id, order, event. answers: what people were
    told. waits: order -> who must act, as the platform shows it. wrong: what the simulation itself noticed.
    """

    logs: Mapping[tuple[str, int], Sequence[Any]]
    ends: Mapping[tuple[str, int], int]
    databases: Mapping[tuple[str, int], Mapping[bytes, bytes]]
    committed: Mapping[tuple[str, int], int]
    readers: Mapping[str, Sequence[str]]
    dictionaries: Mapping[str, Sequence[bytes]]
    intents: Sequence[Mapping[str, Any]]
    charges: Sequence[Mapping[str, Any]]
    refunds: Sequence[Mapping[str, Any]]
    disputes: Sequence[Mapping[str, Any]]
    letters: Sequence[Any]
    answers: Sequence[Mapping[str, Any]]
    waits: Mapping[str, Sequence[str]]
    exits: Sequence[tuple[str, int]]
    orders: Mapping[str, int]
    """Order -> the amount that its customer agreed to."""
    wrong: Sequence[str] = field(default_factory=list)
    stopped: Sequence[str] = field(default_factory=list)
    """Workers that hung for a time."""
    commits: Sequence[tuple[str, int, int, int]] = field(default_factory=list)
    """Topic, partition, offset, and what the changelogs of all readers said at that moment."""

    def topic(self, name: str) -> Iterator[Any]:
        """All records of a topic, by partition, in their order."""
        for (topic, _), records in sorted(self.logs.items()):
            if topic == name:
                yield from records

    @cached_property
    def events(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """Topic -> order -> its events, the first occurrence of each."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for topic in (*EVENTS, *COPIES.values(), "order-audit"):
            orders: dict[str, list[dict[str, Any]]] = defaultdict(list)
            seen: set[str] = set()
            for record in self.topic(topic):
                event = orjson.loads(record.value)
                if event["eventId"] not in seen:
                    seen.add(event["eventId"])
                    orders[event["orderId"]].append(event)
            found[topic] = orders
        return found

    def state(self, service: str, order: str) -> Any:
        """What the owner's table has of an order; None: nothing."""
        for (table, _), values in self.databases.items():
            if table == service and order.encode() in values:
                return self.unpacked(service, values[order.encode()])
        return None

    def unpacked(self, service: str, raw: bytes) -> Any:
        """A stored record."""
        if raw.startswith(PACKED):
            head, _, packed = raw.partition(b"\n")
            number = int(head[len(PACKED) : -1].partition(b",")[0])
            dictionary = self.dictionaries[service][number - 1] if number else b""
            raw = zlib.decompressobj(-15, dictionary).decompress(packed)
        return orjson.loads(raw)


STRIPES = "Stripe's"
Rule = Callable[[Evidence], Iterator[str]]


def check(evidence: Evidence) -> list[str]:
    """All violations, each with the name of its rule."""
    return [f"{rule.__name__.strip('_')}: {found}" for rule in RULES for found in rule(evidence)]


def _simulation(e: Evidence) -> Iterator[str]:
    """It came to an end, and no worker said that Kafka is the wrong one."""
    yield from e.wrong
    for name, status in e.exits:
        if status not in {1, 70}:
            yield f"{name} ended with status {status}"


def _acknowledged_is_there(e: Evidence) -> Iterator[str]:
    """What somebody was told is stored, said once, and what it led to is in Kafka."""
    known = {
        event["eventId"] for topic in (*EVENTS, "order-audit")
        for events in e.events[topic].values() for event in events
    }  # fmt: skip
    told: dict[str, str] = {}
    for answer in e.answers:
        command = answer["command"]
        if told.setdefault(command, answer["code"]) != answer["code"]:
            yield f"{answer['type']} of {answer['order']} was answered {told[command]!r} and {answer['code']!r}"
        state = e.state(answer["service"], answer["order"])
        outcome = (state or {}).get("outcomes", {}).get(command)
        if answer["code"] and outcome is None:
            continue  # refused before it was sent
        if outcome is None:
            yield f"{answer['type']} of {answer['order']} was acknowledged and is not stored"
        elif outcome[0] is not (answer["code"] == ""):
            yield f"{answer['type']} of {answer['order']} was answered otherwise than is stored"
        for event in answer["events"]:
            if event not in known:
                yield f"the event {event} of {answer['type']} of {answer['order']} was acknowledged and is lost"


def _sequences(e: Evidence) -> Iterator[str]:
    """Each producer's events of an order are numbered without gaps, in order; what is there twice is the same.

    A producer counts over all of its topics, the audit apart.
    """
    values: dict[tuple[str, str, str, int], bytes] = {}
    numbers: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for topic in (*EVENTS, "order-audit"):
        last: dict[tuple[str, str, str], int] = defaultdict(int)
        kind = "audit" if topic == "order-audit" else "event"
        for record in e.topic(topic):
            event = orjson.loads(record.value)
            who, number = (kind, event["orderId"], event["producer"]), event["sequence"]
            if number < last[who] and number not in numbers[who]:
                yield f"{topic}: {who} goes from {last[who]} to {number}"
            last[who] = max(last[who], number)
            numbers[who].add(number)
            if values.setdefault((*who, number), record.value) != record.value:
                yield f"{topic}: {who} {number} is there with two meanings"
    for who, found in numbers.items():
        missing = set(range(1, max(found) + 1)) - found
        if missing:
            yield f"{who} has no {sorted(missing)}"


def _copies(e: Evidence) -> Iterator[str]:
    """The topics of one type hold what payment-events does."""
    for kind, topic in COPIES.items():
        for order, events in e.events["payment-events"].items():
            here = [x["eventId"] for x in events if x["eventType"] == kind]
            there = [x["eventId"] for x in e.events[topic].get(order, ())]
            if here != there:
                yield f"{topic} of {order} has {len(there)} events, payment-events {len(here)}"


def _causes(e: Evidence) -> Iterator[str]:
    """No cause leads to the same kind of event twice."""
    for topic in EVENTS:
        for order, events in e.events[topic].items():
            found = Counter(
                (
                    x["eventType"],
                    x["causationId"],
                    x["data"].get("refundId"),
                    x["data"].get("disputeId"),
                )
                for x in events
            )
            for (kind, *_), count in found.items():
                if count > 1:
                    yield f"{kind} of {order} came {count} times of one cause"


def _commands_once(e: Evidence) -> Iterator[str]:
    """A command of a service is there with one meaning; an engine's numbers have no gap."""
    for topic in COMMAND_TOPICS:
        last: dict[tuple[str, str], int] = defaultdict(int)
        for record in e.topic(topic):
            command = orjson.loads(record.value)
            if command.get("producer"):
                who = command["orderId"], command["producer"]
                if command["sequence"] > last[who] + 1:
                    yield f"{topic}: {who} goes from {last[who]} to {command['sequence']}"
                last[who] = max(last[who], command["sequence"])


def _changelogs(e: Evidence) -> Iterator[str]:
    """Versions and epochs of a key never go back; the owner's table is what its changelog says."""
    for (table, partition), values in sorted(e.databases.items()):
        changelog = next(
            (at for at in e.logs if at[0].endswith(f"-{table}-changelog") and at[1] == partition),
            None,
        )
        last: dict[bytes, bytes] = {}
        versions: dict[bytes, tuple[int, int]] = {}
        for record in e.logs[changelog] if changelog else ():
            last[record.key] = record.value
            if record.key.startswith(b"\0") or b"/" in record.key:
                continue
            stored = e.unpacked(table, record.value)
            now = stored["version"], stored["epoch"]
            before = versions.setdefault(record.key, now)
            if now[0] < before[0] or now[1] < before[1]:
                yield f"{table}/{partition}: {record.key.decode()} goes from {before} to {now}"
            versions[record.key] = now
        mine = {
            key: value for key, value in values.items()
            if not key.startswith((b"__faust", *OWN_ROWS))
        }  # fmt: skip
        for key in sorted((last.keys() | mine.keys()) - {FENCE}):
            if last.get(key) != mine.get(key):
                yield f"{table}/{partition}: {key!r} differs from its changelog"


def _index(e: Evidence) -> Iterator[str]:
    """A table's index has what its records say that they are found by, and no more."""
    for (table, partition), values in sorted(e.databases.items()):
        wanted: set[bytes] = set()
        found = {key[len(INDEX) :] for key in values if key.startswith(INDEX)}
        for key, raw in values.items():
            if key.startswith((b"\0", b"__faust")) or b"/" in key:
                continue
            head = raw[: raw.find(b"\n")] if raw.startswith(PACKED) else raw
            entries = list(orjson.loads(head).get("index", ((), {}))[0])
            entries += [] if head.startswith(b'{"terminal":true') else ["open"]
            wanted |= {b"%b/%b" % (entry.encode(), key) for entry in entries}
        if not any(b'"index":' in raw for raw in values.values()):
            continue  # it keeps none
        for entry in sorted(wanted ^ found):
            yield f"{table}/{partition}: {entry!r} is {'not ' if entry in wanted else ''}in the index"


def _offsets(e: Evidence) -> Iterator[str]:
    """All was read; the group's offsets are the tables', and were never ahead of these."""
    for topic, partition, offset, allowed in e.commits:
        if offset > allowed:
            yield f"{topic}/{partition} was committed at {offset}, and a changelog had {allowed}"
    for topic, services in e.readers.items():
        for (name, partition), end in e.ends.items():
            if name != topic:
                continue
            done = []
            for service in services:
                raw = e.databases.get((service, partition), {}).get(PROGRESS)
                done.append(orjson.loads(raw)["offsets"].get(topic, -1) if raw else -1)
            if min(done) + 1 != end:
                yield f"{topic}/{partition} ends at {end}, and {services} have {done}"
            committed = e.committed.get((topic, partition), 0)
            if committed != min(done) + 1:
                yield f"{topic}/{partition} is committed at {committed}, and {services} have {done}"


def _folds(e: Evidence) -> Iterator[str]:
    """States are what their events say."""
    for topic, kinds in (
        ("payment-events", PAYMENT_STATUS), ("order-events", ORDER_STATUS),
        ("delivery-events", DELIVERY_STATUS),
    ):  # fmt: skip
        service, name = EVENTS[topic], topic.partition("-")[0]
        for order, events in e.events[topic].items():
            status: str | None = None
            for event in events:
                if event["eventType"] == "PAYMENT_REFUND_FAILED" and status == "REFUNDED":
                    status = "COMPLETED"
                    continue
                to = kinds.get(event["eventType"])
                if to is None:
                    continue
                if name == "payment" and to not in NEXT_PAYMENT[status]:
                    yield f"the payment of {order} goes from {status} to {to}"
                status = to
            record = e.state(service, order)
            state = (record or {}).get("state", {}).get(name) or {}
            if state.get("status") != status:
                yield f"{service} has {order} as {state.get('status')}, its events say {status}"
            last = max(x["sequence"] for x in events if x["producer"] == service)
            if state and state.get("sequence") != last:
                yield f"{service} has {order} at {state.get('sequence')}, its events are at {last}"


def _money(e: Evidence) -> Iterator[str]:
    """Ours is Stripe's, order by order and in total; nothing is charged or refunded twice."""
    intents: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for intent in e.intents:
        intents[intent["metadata"].get("orderId", "")].append(intent)
    total = Counter[str]()
    for order, found in intents.items():
        if len(found) > 1:
            yield f"{order} has {len(found)} payment intents"
        for intent in found:
            if intent["amount"] != e.orders.get(order):
                yield f"{order} costs {e.orders.get(order)}, and Stripe was asked for {intent['amount']}"
            yield from _money_of(e, order, intent, total)
    refund_ids = Counter(refund["metadata"].get("refundId") for refund in e.refunds)
    for refund_id, count in refund_ids.items():
        if count > 1:
            yield f"the refund {refund_id} was made {count} times"
    if total["ours"] != total[STRIPES]:
        yield f"we have {total['ours']} in total, Stripe {total[STRIPES]}"


def _money_of(
    e: Evidence, order: str, intent: Mapping[str, Any], total: Counter[str]
) -> Iterator[str]:
    charges = [c for c in e.charges if c["payment_intent"] == intent["id"] and c["captured"]]
    refunds = [r for r in e.refunds if r["payment_intent"] == intent["id"]]
    disputes = [d for d in e.disputes if d["payment_intent"] == intent["id"]]
    if len(charges) > 1:
        yield f"{order} was charged {len(charges)} times"
    captured = sum(c["amount_captured"] for c in charges)
    refunded = sum(r["amount"] for r in refunds if r["status"] == "succeeded")
    given_back = sum(r["amount"] for r in refunds if r["status"] in {"succeeded", "pending"})
    taken = sum(d["amount"] for d in disputes if d["status"] not in UNTAKEN_DISPUTES)
    if given_back > captured:
        yield f"of {captured} of {order} {given_back} was refunded"
    payment = ((e.state("payments", order) or {}).get("state") or {}).get("payment")
    if payment is None:
        yield f"{order} has a payment intent, and payments knows no payment"
        return
    ours_refunded = sum(
        r["amount"] for r in (payment.get("refunds") or {}).values() if r["status"] == "SUCCEEDED"
    )
    ours_taken = sum(
        d["amount"]
        for d in (payment.get("disputes") or {}).values()
        if d["status"] not in UNTAKEN_DISPUTES
    )
    total["ours"] += payment.get("captured", 0) - ours_refunded - ours_taken
    total[STRIPES] += captured - refunded - taken
    for what, ours, theirs in (
        ("captured", payment.get("captured", 0), captured), ("refunded", ours_refunded, refunded),
        ("disputed", ours_taken, taken),
    ):  # fmt: skip
        if ours != theirs:
            yield f"{order}: we say {what} {ours}, Stripe says {theirs}"
    said = sum(
        x["data"]["amount"] for x in e.events["payment-events"].get(order, ())
        if x["eventType"] == "PAYMENT_COMPLETED"
    )  # fmt: skip
    if said != captured:
        yield f"{order}: events say captured {said}, Stripe says {captured}"
    is_paid = captured - given_back - taken > 0
    status = (((e.state("orders", order) or {}).get("state") or {}).get("order") or {}).get(
        "status"
    )
    is_failed = any(r["status"] in {"failed", "canceled"} for r in refunds)
    is_blocked = any(not d["is_charge_refundable"] for d in disputes)
    if status in {"CANCELLED", "REFUNDED"} and is_paid and not (is_failed or is_blocked):
        yield f"{order} is {status}, its money is here, and nobody must act"
    if (
        status not in {"CANCELLED", "REFUNDED", "PAYMENT_PENDING", "PAYMENT_FAILED"}
        and not captured
    ):
        yield f"{order} is {status}, and nothing was paid"
    if captured and status in {"PAYMENT_PENDING", "PAYMENT_FAILED"}:
        yield f"{order} is paid, and is {status}"


def _mail(e: Evidence) -> Iterator[str]:
    """An event is told once by one message; a message that came again says that it may have come before."""
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    seen: dict[str, Any] = {}
    for letter in e.letters:
        # Who hung while sending can not know that another worker has sent it meanwhile.
        is_told = letter.maybe_sent or letter.sender in e.stopped
        if letter.message_id in seen and not is_told:
            yield f"{letter.about} of {letter.order_id} was mailed twice, as if for the first time"
        seen[letter.message_id] = letter
        ids[letter.order_id, letter.about].add(letter.message_id)
    for (order, about), found in ids.items():
        topic = "payment-events" if about.startswith("PAYMENT") else "order-events"
        events = [x for x in e.events[topic].get(order, ()) if x["eventType"] == about]
        if len(found) > len(events):
            yield f"{order} got {len(found)} messages of {len(events)} {about}"
    for order in e.orders:
        state = ((e.state("notifications", order) or {}).get("state") or {}).get(
            "notifications"
        ) or {}
        entries = state.values() if isinstance(state, dict) else state
        for entry in entries:
            if entry.get("status") == "SENT" and entry["notificationId"] not in seen:
                yield f"{order}: {entry['eventType']} is noted as sent, and was not"


def _assigned_once(e: Evidence) -> Iterator[str]:
    """A delivery has one courier."""
    for order, events in e.events["delivery-events"].items():
        assigned = [x for x in events if x["eventType"] == "DELIVERY_ASSIGNED"]
        if len(assigned) > 1:
            yield f"{order} was assigned {len(assigned)} times"


def _ends(e: Evidence) -> Iterator[str]:
    """Each order ends, or somebody is named who must act; what is stored of it is not quarantined."""
    for order in e.orders:
        for service in (
            "payments",
            "orders",
            "deliveries",
            "notifications",
            "timeline",
            "analytics",
        ):
            record = e.state(service, order)
            if record and record.get("quarantine"):
                yield f"{order} is quarantined in {service}"
        record = e.state("orders", order)
        state = (record or {}).get("state") or {}
        if state.get("placed") is None:
            continue  # nobody has heard of it
        status = (state.get("order") or {}).get("status")
        has_ended = bool(record.get("terminal"))
        if "SYSTEM, late" in e.waits.get(order, ()):
            yield f"{order} is {status}, and what the platform does by itself is late"
        if not has_ended and not e.waits.get(order):
            yield f"{order} is {status}, and nobody must act"


def _dead_letters(e: Evidence) -> Iterator[str]:
    """Nothing that is sent here can't be read."""
    for record in e.topic(DEAD_LETTERS):
        reason = dict(record.headers).get("kafka_dlt-exception-fqcn", b"").decode()
        yield f"a dead letter of {(record.key or b'').decode()}: {reason}"


def _timeline(e: Evidence) -> Iterator[str]:
    """The timeline has each event of an order once."""
    for order in e.orders:
        state = (e.state("timeline", order) or {}).get("state") or {}
        shown = state.get("events")
        if shown is None:
            continue
        wanted = sum(len(e.events[topic].get(order, ())) for topic in (*EVENTS, "order-audit"))
        if len(shown) != wanted:
            yield f"the timeline of {order} has {len(shown)} of {wanted} events"


RULES: tuple[Rule, ...] = (
    _simulation, _acknowledged_is_there, _sequences, _copies, _causes, _commands_once, _changelogs,
    _index, _offsets, _folds, _money, _mail, _assigned_once, _ends, _dead_letters, _timeline,
)  # fmt: skip
