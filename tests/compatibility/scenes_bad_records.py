"""What is played for a recording: records that no service can act on, or acts on only once."""

from __future__ import annotations

import json
from typing import Any

from tests.compatibility.adapter import READERS
from tests.compatibility.contents import read_topic
from tests.compatibility.day import Day


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


def command(order_id: str, kind: str, *, issued_by: str = "", data: Any = None) -> bytes:
    """A command as somebody outside writes it."""
    return json.dumps(
        {
            "orderId": order_id, "commandId": f"{kind}_{order_id}", "commandType": kind,
            "issuedAt": "2026-01-01T00:00:00.000Z", "issuedBy": issued_by, "data": data or {},
        }
    ).encode()  # fmt: skip
