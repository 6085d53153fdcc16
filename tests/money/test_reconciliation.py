"""The reconciliation on a whole platform: lost webhooks, orphans and differences, and a killed runner."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from app.settings import SANDBOX_SECRET_KEY
from models import ids
from sandbox.customer import Customer
from sandbox.processes import MAX_WAIT_S, Supervised
from tests.money.clients import Clients, until
from tests.support.kafka_invariants import Topics, check_cloudevent

GRACE_MS = 2000  # TIFFIN_RECONCILIATION_GRACE_S
BANK, DOLLARS = "pm_usBankAccount_success", "blue-door-brooklyn"
CAN_BE_PAID = "requires_payment_method"


def applied(view: dict[str, Any], order_id: str) -> list[str]:
    """Types of the events that were missing and were applied."""
    missing = view["run"]["missing"]
    assert {each["result"] for each in missing} <= {"APPLIED"}
    return [each["stripeEventType"] for each in missing if each.get("orderId") == order_id]


def check_headers_of_reports(bootstrap: str) -> None:
    """The runner's reports bear what every record bears."""
    reader = Topics(bootstrap)
    try:
        reports = [record for record in reader.read() if record.topic == "reconciliation"]
    finally:
        reader.close()
    assert reports
    for record in reports:
        assert record.headers.keys() >= {"traceparent", "ce_time"}
        check_cloudevent(record)


async def processing(clients: Clients) -> tuple[Customer, str]:
    """Somebody who pays from a bank account, whose webhooks get lost."""
    somebody = await clients.placed(DOLLARS)
    intent = await clients.intent(somebody)
    token = await clients.control("/confirmation_token", {"card": BANK})
    body = {"orderId": somebody.order_id, "confirmationToken": token["id"]}
    # It stays PROCESSING, and nobody waits for that.
    asking = somebody.call("POST", "/api/payments/confirm", body, str(uuid.uuid4()))
    task = asyncio.create_task(asking)
    await clients.payment_when(somebody, lambda v: v["status"] == "PROCESSING", "PROCESSING")
    await clients.until_processing(intent)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await clients.lose_webhooks(intent)
    return somebody, intent


async def test_a_payment_whose_webhook_is_lost_is_found(clients: Clients) -> None:
    somebody, intent = await processing(clients)
    await clients.control("/settle", {"payment_intent": intent, "outcome": "succeed"})
    order = await somebody.wait_status("PENDING")
    assert order["payment"]["status"] == "COMPLETED"
    view = await clients.reconciled(
        lambda v: bool(applied(v, somebody.order_id)), "the webhook that never came"
    )
    assert applied(view, somebody.order_id) == ["payment_intent.succeeded"]


async def test_a_dashboard_refund_whose_webhooks_are_lost_is_found(clients: Clients) -> None:
    somebody = await clients.paid()
    intent = await clients.intent(somebody)
    await clients.lose_webhooks(intent)
    refund = await clients.control("/dashboard_refund", {"payment_intent": intent, "amount": 700})
    view = await clients.payment_when(
        somebody, lambda v: v["refunded"]["amount"] == 700, "the refund to be found"
    )
    (row,) = await clients.refunds(somebody, "SUCCEEDED")
    assert (row["stripeRefundId"], row["by"]) == (refund["id"], "stripe")
    assert (view["status"], len(view["refunds"])) == ("COMPLETED", 1)
    found = await clients.reconciled(
        lambda v: len(applied(v, somebody.order_id)) == 2, "both events to be told"
    )
    assert set(applied(found, somebody.order_id)) == {"refund.created", "charge.refunded"}


async def test_what_came_by_webhook_is_not_sent_again(clients: Clients) -> None:
    somebody = await until(
        lambda: paid_with_a_quick_webhook(clients), "a webhook that comes in time"
    )
    paid_at = (await clients.payment(somebody))["completedAt"]
    view = await clients.reconciled(lambda v: v["run"]["cursor"] > paid_at, "the cursor")
    assert applied(view, somebody.order_id) == []
    path = f"/api/orders/{somebody.order_id}/timeline"
    types = [entry["eventType"] for entry in (await clients.get(path))["entries"]]
    assert types.count("WEBHOOK_RECEIVED") == 1


async def paid_with_a_quick_webhook(clients: Clients) -> Customer | None:
    """Somebody who has paid; none if the machine is so slow that the webhook counts as missing."""
    somebody = await clients.paid()

    async def heard() -> dict[str, int] | None:
        told = await clients.get(f"/api/orders/{somebody.order_id}/timeline")
        at_ms = {entry["eventType"]: entry["tMs"] for entry in told["entries"]}
        return at_ms if {"WEBHOOK_RECEIVED", "PAYMENT_COMPLETED"} <= at_ms.keys() else None

    at_ms = await until(heard, "the webhook")
    is_quick = at_ms["WEBHOOK_RECEIVED"] - at_ms["PAYMENT_COMPLETED"] < GRACE_MS / 2
    return somebody if is_quick else None


async def new_intent(clients: Clients, **metadata: str) -> str:
    """A payment intent that nobody's order has."""
    form = {"amount": "5000", "currency": "inr", "automatic_payment_methods[enabled]": "true"}
    form |= {f"metadata[{name}]": value for name, value in metadata.items()}
    headers = {"Authorization": f"Bearer {SANDBOX_SECRET_KEY}"}
    url = f"{clients.ends.stripe}/v1/payment_intents"
    async with clients.http.post(url, data=form, headers=headers) as got:
        return str((await got.json())["id"])


async def platform_of(clients: Clients, intent: str) -> str:
    """The platform's id, which its workers write into what they make at Stripe."""
    headers = {"Authorization": f"Bearer {SANDBOX_SECRET_KEY}"}
    url = f"{clients.ends.stripe}/v1/payment_intents/{intent}"
    async with clients.http.get(url, headers=headers) as got:
        return str((await got.json())["metadata"]["platform"])


async def test_only_payment_intents_of_ours_that_no_order_has_are_cancelled(
    clients: Clients,
) -> None:
    order_id = ids.order_id("orphans", str(uuid.uuid4()))
    unpaid = await clients.placed()
    platform = await platform_of(clients, await clients.intent(unpaid))
    by_app = {"orderId": order_id, "paymentId": ids.payment_id(order_id), "app": "tiffin"}
    ours = by_app | {"platform": platform}
    orphan = await new_intent(clients, **ours)
    others = [
        await clients.intent(unpaid),
        await new_intent(clients),
        await new_intent(clients, orderId="1017"),
        await new_intent(clients, **(ours | {"app": "another"})),
        await new_intent(clients, **(ours | {"platform": "platform_another"})),
        await new_intent(clients, **by_app),
        await new_intent(clients, orderId=order_id, paymentId=ours["paymentId"]),
        await new_intent(clients, **(ours | {"paymentId": ids.payment_id("another")})),
    ]
    newest = await new_intent(clients, **ours)
    view = await clients.reconciled(
        lambda v: {orphan, newest} <= {o["stripeIntentId"] for o in v["run"]["orphans"]}, "orphans"
    )
    assert (await clients.ledger(orphan))["status"] == "canceled"
    assert {(await clients.ledger(intent))["status"] for intent in others} == {CAN_BE_PAID}
    touched = {o["stripeIntentId"] for o in view["run"]["orphans"]}
    assert touched.isdisjoint(others)
    found = next(o for o in view["run"]["orphans"] if o["stripeIntentId"] == orphan)
    assert (found["orderId"], found["result"], found["amount"]) == (order_id, "CANCELLED", 5000)
    order = await unpaid.look()
    assert (order["status"], order["payment"]["status"]) == ("PAYMENT_PENDING", "PENDING")


async def test_a_difference_is_listed_until_it_is_applied(clients: Clients) -> None:
    somebody = await clients.paid()
    intent = await clients.intent(somebody)
    await clients.lose_webhooks(intent)
    # Stripe's events can't be listed for a while, so nobody tells us of the refund.
    blind = {"kind": "rate_limit", "method": "GET", "path": "/v1/events$", "times": None}
    await clients.control("/faults", blind)
    refund = await clients.control("/dashboard_refund", {"payment_intent": intent, "amount": 300})

    def listed(view: dict[str, Any]) -> list[dict[str, Any]]:
        return [d for d in view["run"]["differences"] if d["id"] == refund["id"]]

    view = await clients.reconciled(lambda v: bool(listed(v)), "the difference")
    (difference,) = listed(view)
    assert (difference["kind"], difference["orderId"]) == ("REFUND", somebody.order_id)
    assert difference["stripe"]["amount"] == 300
    assert "tiffin" not in difference
    assert not view["isClean"]
    assert view["verdict"] == "DIFFERS"
    (day,) = (
        d for d in view["run"]["totals"] if d["day"] == difference["day"] and d["currency"] == "INR"
    )
    assert view["differing"] == len(view["run"]["differences"]) + len(view["run"]["settling"])
    assert day["differing"] >= 1
    assert any(problem.startswith("FIND_MISSING") for problem in view["run"]["problems"])
    assert sum(d["refunded"]["difference"]["amount"] for d in view["run"]["totals"]) == 300
    for worker in range(2):
        seen = await clients.get("/api/ops/overview", worker)
        concerns = {each["code"]: each for each in seen["concerns"]}
        assert not seen["healthy"]
        assert seen["differences"] >= 1
        assert concerns["DIFFERENCES"]["where"] == "/api/ops/reconciliation"
        assert "FIND_MISSING" in concerns["RECONCILIATION_UNFINISHED"]["detail"]
    await clients.control("/faults", method="DELETE")
    clean = await clients.reconciled(lambda v: v["isClean"], "everything to agree")
    assert clean["verdict"] == "AGREES"
    assert not clean["run"]["settling"]
    assert not any(day["differing"] for day in clean["run"]["totals"])

    async def calm() -> bool | None:
        seen = await clients.get("/api/ops/overview")
        codes = {each["code"] for each in seen["concerns"]}
        return None if codes & {"DIFFERENCES", "RECONCILIATION_UNFINISHED"} else True

    await until(calm, "the overview to have no more of it")
    assert (await clients.payment(somebody))["refunded"]["amount"] == 300


async def runner(clients: Clients) -> Supervised | None:
    """The worker that runs the reconciliation."""
    for worker, url in zip(clients.platform.workers, clients.ends.workers, strict=True):
        async with clients.http.get(f"{url}/metrics") as got:
            if "\ntiffin_reconciliation_cursor_timestamp_seconds " in await got.text():
                return worker
    return None


async def test_the_runner_moves_when_its_worker_is_killed(clients: Clients) -> None:
    first = await until(lambda: runner(clients), "a runner")
    before = await clients.reconciled(lambda v: "run" in v, "a run")
    await asyncio.to_thread(check_headers_of_reports, clients.platform.bootstrap)
    number = clients.platform.workers.index(first)
    somebody = await clients.paid()
    intent = await clients.intent(somebody)
    await clients.lose_webhooks(intent)
    first.restart = False
    first.kill()
    await asyncio.to_thread(first.wait_exits, len(first.exits) + 1, timeout_s=MAX_WAIT_S)
    try:
        await clients.control("/dashboard_refund", {"payment_intent": intent, "amount": 900})
        somebody.web = clients.ends.workers[1 - number]
        clients.operators = [clients.operators[1 - number]]
        view = await clients.payment_when(
            somebody, lambda v: v["refunded"]["amount"] == 900, "the next runner to find it"
        )
        assert view["refunded"]["amount"] == 900
        after = await clients.reconciled(
            lambda v: v["run"]["cursor"] > before["run"]["cursor"], "the cursor to go on"
        )
        assert after["run"]["missingTotal"] >= before["run"]["missingTotal"]
        assert len(after["run"]["orphans"]) == len(before["run"]["orphans"])
    finally:
        first.restart = True
        first.start()
        await asyncio.to_thread(clients.platform.wait_ready)


async def test_in_the_end_both_accounts_agree(clients: Clients) -> None:
    somebody = await clients.paid(restaurant="hinode-kyoto")
    paid_at = (await clients.payment(somebody))["completedAt"]
    clean = await clients.reconciled(
        lambda v: v["isClean"] and not v["run"]["settling"] and v["run"]["comparedAt"] > paid_at,
        "peace",
    )
    at_stripe = (await clients.control("/ledger", method="GET"))["totals"]["by_currency"]
    of_tables = {t["currency"].lower(): t for t in clean["invariants"]["totals"]}
    assert at_stripe.keys() - {"inr"} <= of_tables.keys()
    for currency, sums in of_tables.items():
        assert sums["captured"]["amount"] == at_stripe[currency]["captured"]
        assert sums["refunded"]["amount"] == at_stripe[currency]["refunded"]
        assert sums["net"]["amount"] == at_stripe[currency]["net"]
    for side in ("stripe", "tiffin"):
        charged = sum(
            d["charged"][side]["amount"] for d in clean["run"]["totals"] if d["currency"] == "JPY"
        )
        assert charged == at_stripe["jpy"]["captured"]
    assert clean["invariants"]["broken"] == []
