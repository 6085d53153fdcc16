"""The reconciliation on a whole platform: lost webhooks, orphans and differences, and a killed runner."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from app.settings import SANDBOX_SECRET_KEY
from models import ids
from sandbox.customer import Customer
from sandbox.processes import PATIENCE_S, Supervised
from tests.e2e.outside import Topics
from tests.money.till import Till, until

GRACE_MS = 2000  # TIFFIN_RECONCILIATION_GRACE_S
BANK = "pm_usBankAccount_success"
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
        assert record.headers.keys() >= {"traceparent", "ce_id", "ce_type", "ce_source", "ce_time"}


async def processing(till: Till) -> tuple[Customer, str]:
    """Somebody who pays from a bank account, whose webhooks get lost."""
    somebody = await till.placed()
    intent = await till.intent(somebody)
    token = await till.control("/confirmation_token", {"card": BANK})
    body = {"orderId": somebody.order_id, "confirmationToken": token["id"]}
    # It stays PROCESSING, and nobody waits for that.
    asking = somebody.call("POST", "/api/payments/confirm", body, str(uuid.uuid4()))
    task = asyncio.create_task(asking)
    await till.payment_when(somebody, lambda v: v["status"] == "PROCESSING", "PROCESSING")
    await till.until_processing(intent)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await till.lose_webhooks(intent)
    return somebody, intent


async def test_a_payment_whose_webhook_is_lost_is_found(till: Till) -> None:
    somebody, intent = await processing(till)
    await till.control("/settle", {"payment_intent": intent, "outcome": "succeed"})
    order = await somebody.wait_status("PENDING")
    assert order["payment"]["status"] == "COMPLETED"
    view = await till.reconciled(
        lambda v: bool(applied(v, somebody.order_id)), "the webhook that never came"
    )
    assert applied(view, somebody.order_id) == ["payment_intent.succeeded"]


async def test_a_dashboard_refund_whose_webhooks_are_lost_is_found(till: Till) -> None:
    somebody = await till.paid()
    intent = await till.intent(somebody)
    await till.lose_webhooks(intent)
    refund = await till.control("/dashboard_refund", {"payment_intent": intent, "amount": 700})
    view = await till.payment_when(
        somebody, lambda v: v["refunded"]["amount"] == 700, "the refund to be found"
    )
    (row,) = await till.refunds(somebody, "SUCCEEDED")
    assert (row["stripeRefundId"], row["by"]) == (refund["id"], "stripe")
    assert (view["status"], len(view["refunds"])) == ("COMPLETED", 1)
    found = await till.reconciled(
        lambda v: len(applied(v, somebody.order_id)) == 2, "both events to be told"
    )
    assert set(applied(found, somebody.order_id)) == {"refund.created", "charge.refunded"}


async def test_what_came_by_webhook_is_not_sent_again(till: Till) -> None:
    somebody = await until(lambda: paid_with_a_quick_webhook(till), "a webhook that comes in time")
    paid_at = (await till.payment(somebody))["completedAt"]
    view = await till.reconciled(lambda v: v["run"]["cursor"] > paid_at, "the cursor")
    assert applied(view, somebody.order_id) == []
    path = f"/api/orders/{somebody.order_id}/timeline"
    types = [entry["eventType"] for entry in (await till.get(path))["entries"]]
    assert types.count("WEBHOOK_RECEIVED") == 1


async def paid_with_a_quick_webhook(till: Till) -> Customer | None:
    """Somebody who has paid; none if the machine is so slow that the webhook counts as missing."""
    somebody = await till.paid()

    async def heard() -> dict[str, int] | None:
        told = await till.get(f"/api/orders/{somebody.order_id}/timeline")
        at_ms = {entry["eventType"]: entry["tMs"] for entry in told["entries"]}
        return at_ms if {"WEBHOOK_RECEIVED", "PAYMENT_COMPLETED"} <= at_ms.keys() else None

    at_ms = await until(heard, "the webhook")
    is_quick = at_ms["WEBHOOK_RECEIVED"] - at_ms["PAYMENT_COMPLETED"] < GRACE_MS / 2
    return somebody if is_quick else None


async def new_intent(till: Till, **metadata: str) -> str:
    """A payment intent that nobody's order has."""
    form = {"amount": "5000", "currency": "inr", "automatic_payment_methods[enabled]": "true"}
    form |= {f"metadata[{name}]": value for name, value in metadata.items()}
    headers = {"Authorization": f"Bearer {SANDBOX_SECRET_KEY}"}
    url = f"{till.ends.stripe}/v1/payment_intents"
    async with till.http.post(url, data=form, headers=headers) as got:
        return str((await got.json())["id"])


async def test_only_payment_intents_of_ours_that_no_order_has_are_cancelled(till: Till) -> None:
    order_id = ids.order_id("orphans", str(uuid.uuid4()))
    ours = {"orderId": order_id, "paymentId": ids.payment_id(order_id), "app": "tiffin"}
    orphan = await new_intent(till, **ours)
    unpaid = await till.placed()
    others = [
        await till.intent(unpaid),
        await new_intent(till),
        await new_intent(till, orderId="1017"),
        await new_intent(till, **(ours | {"app": "another"})),
        await new_intent(till, orderId=order_id, paymentId=ours["paymentId"]),
        await new_intent(till, **(ours | {"paymentId": ids.payment_id("another")})),
    ]
    newest = await new_intent(till, **ours)
    view = await till.reconciled(
        lambda v: {orphan, newest} <= {o["stripeIntentId"] for o in v["run"]["orphans"]}, "orphans"
    )
    assert (await till.ledger(orphan))["status"] == "canceled"
    assert {(await till.ledger(intent))["status"] for intent in others} == {CAN_BE_PAID}
    touched = {o["stripeIntentId"] for o in view["run"]["orphans"]}
    assert touched.isdisjoint(others)
    found = next(o for o in view["run"]["orphans"] if o["stripeIntentId"] == orphan)
    assert (found["orderId"], found["result"], found["amount"]) == (order_id, "CANCELLED", 5000)
    order = await unpaid.look()
    assert (order["status"], order["payment"]["status"]) == ("PAYMENT_PENDING", "PENDING")


async def test_a_difference_is_listed_until_it_is_applied(till: Till) -> None:
    somebody = await till.paid()
    intent = await till.intent(somebody)
    await till.lose_webhooks(intent)
    # Stripe's events can't be listed for a while, so nobody tells us of the refund.
    blind = {"kind": "rate_limit", "method": "GET", "path": "/v1/events$", "times": None}
    await till.control("/faults", blind)
    refund = await till.control("/dashboard_refund", {"payment_intent": intent, "amount": 300})

    def listed(view: dict[str, Any]) -> list[dict[str, Any]]:
        return [d for d in view["run"]["differences"] if d["id"] == refund["id"]]

    view = await till.reconciled(lambda v: bool(listed(v)), "the difference")
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
        seen = await till.get("/api/ops/overview", worker)
        concerns = {each["code"]: each for each in seen["concerns"]}
        assert not seen["healthy"]
        assert seen["differences"] >= 1
        assert concerns["DIFFERENCES"]["where"] == "/api/ops/reconciliation"
        assert "FIND_MISSING" in concerns["RECONCILIATION_UNFINISHED"]["detail"]
    await till.control("/faults", method="DELETE")
    clean = await till.reconciled(lambda v: v["isClean"], "everything to agree")
    assert clean["verdict"] == "AGREES"
    assert not clean["run"]["settling"]
    assert not any(day["differing"] for day in clean["run"]["totals"])

    async def calm() -> bool | None:
        seen = await till.get("/api/ops/overview")
        codes = {each["code"] for each in seen["concerns"]}
        return None if codes & {"DIFFERENCES", "RECONCILIATION_UNFINISHED"} else True

    await until(calm, "the overview to have no more of it")
    assert (await till.payment(somebody))["refunded"]["amount"] == 300


async def runner(till: Till) -> Supervised | None:
    """The worker that runs the reconciliation."""
    for worker, url in zip(till.platform.workers, till.ends.workers, strict=True):
        async with till.http.get(f"{url}/metrics") as got:
            if "\ntiffin_reconciliation_cursor " in await got.text():
                return worker
    return None


async def test_the_runner_moves_when_its_worker_is_killed(till: Till) -> None:
    first = await until(lambda: runner(till), "a runner")
    before = await till.reconciled(lambda v: "run" in v, "a run")
    await asyncio.to_thread(check_headers_of_reports, till.platform.bootstrap)
    number = till.platform.workers.index(first)
    somebody = await till.paid()
    intent = await till.intent(somebody)
    await till.lose_webhooks(intent)
    first.restart = False
    first.kill()
    await asyncio.to_thread(first.wait_exits, len(first.exits) + 1, timeout_s=PATIENCE_S)
    try:
        await till.control("/dashboard_refund", {"payment_intent": intent, "amount": 900})
        somebody.web = till.ends.workers[1 - number]
        till.operators = [till.operators[1 - number]]
        view = await till.payment_when(
            somebody, lambda v: v["refunded"]["amount"] == 900, "the next runner to find it"
        )
        assert view["refunded"]["amount"] == 900
        after = await till.reconciled(
            lambda v: v["run"]["cursor"] > before["run"]["cursor"], "the cursor to go on"
        )
        assert after["run"]["missingTotal"] >= before["run"]["missingTotal"]
        assert len(after["run"]["orphans"]) == len(before["run"]["orphans"])
    finally:
        first.restart = True
        first.start()
        await asyncio.to_thread(till.platform.wait_ready)


async def test_in_the_end_both_accounts_agree(till: Till) -> None:
    somebody = await till.paid(restaurant="hinode-kyoto")
    paid_at = (await till.payment(somebody))["completedAt"]
    clean = await till.reconciled(
        lambda v: v["isClean"] and not v["run"]["settling"] and v["run"]["comparedAt"] > paid_at,
        "peace",
    )
    at_stripe = (await till.control("/ledger", method="GET"))["totals"]["by_currency"]
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
