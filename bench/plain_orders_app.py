"""The seed's three flows in Faust as its book has it: views that call Stripe, agents, tables, at-least-once.

What a careful engineer writes without an engine of their own: ids derived from the idempotency key, Stripe
asked with idempotency keys, one topic of a payment's events so that they keep their order, transitions that
check the state before, publishing from a view waited for. Settings are the platform's own variables.
"""

from __future__ import annotations

import os
import uuid
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiosmtplib
import faust
import orjson
import stripe
import uvloop

uvloop.install()
ENV: Final = os.environ
Path(ENV["TIFFIN_DATA_DIR"]).mkdir(parents=True, exist_ok=True)
AMOUNT: Final = 2500
PAYABLE: Final = ("PAYMENT_PENDING", "PAYMENT_FAILED")
SENT_BY: Final = "orders@plain.example"

client = stripe.StripeClient(
    ENV["TIFFIN_STRIPE_SECRET_KEY"],
    base_addresses={"api": ENV["TIFFIN_STRIPE_API_URL"]},
    http_client=stripe.HTTPXClient(),
    max_network_retries=2,
)
app = faust.App(
    "plain-orders",
    broker=f"kafka://{ENV['TIFFIN_KAFKA_BOOTSTRAP']}",
    store="rocksdb://",
    datadir=ENV["TIFFIN_DATA_DIR"],
    topic_partitions=3,
    broker_session_timeout=float(ENV.get("TIFFIN_SESSION_TIMEOUT_S", "10")),
    broker_heartbeat_interval=3.0,
    web_host="127.0.0.1",
    web_port=int(ENV["TIFFIN_WEB_PORT"]),
    web_bind="127.0.0.1",
)


def _topic(name: str) -> Any:
    return app.topic(name, key_type=str, value_serializer="json", partitions=3, internal=True)


payment_events, refunds_wanted = _topic("payment-events"), _topic("payment-refund-initiated")
order_cancels, order_events = _topic("order-cancels"), _topic("order-events")


def _table(name: str) -> Any:
    return app.Table(name, partitions=3, options={"driver": "rocksdict"})


payments, orders, deliveries = _table("payments"), _table("orders"), _table("deliveries")


def _event(kind: str, order: str, **data: Any) -> dict[str, Any]:
    event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{order}/{data.get('intent', '')}"))
    return {"eventId": event_id, "eventType": kind, "orderId": order, **data}


async def _publish(kind: str, order: str, **data: Any) -> None:
    await (await payment_events.send(key=order, value=_event(kind, order, **data)))


async def _tell(intent: Any) -> None:
    """Publish what Stripe says of a payment."""
    order = intent["metadata"]["order_id"]
    if intent["status"] == "succeeded":
        await _publish("PAYMENT_COMPLETED", order, intent=intent["id"])
    elif intent["status"] == "requires_payment_method" and intent["last_payment_error"]:
        await _publish("PAYMENT_FAILED", order, intent=intent["id"])


# -- the payment service's views ------------------------------------------------------------------


def _json(view: Any, value: Any, status: int = 200) -> Any:
    return view.bytes(orjson.dumps(value), content_type="application/json", status=status)


@app.page("/readyz")
async def readyz(view: Any, request: Any) -> Any:  # noqa: ARG001
    """Whether partitions are owned and recovered."""
    tables: Any = app.tables
    is_ready = app.consumer.assignment() and not tables.recovery.in_recovery
    return _json(view, {}, 200 if is_ready and not app.rebalancing else 503)


@app.page("/api/payments/create-intent")
class CreateIntent(faust.web.View):
    """Opens a payment at Stripe."""

    async def post(self, request: Any) -> Any:
        """201 with what the page needs to pay."""
        order = "order_" + uuid.uuid5(uuid.NAMESPACE_URL, request.headers["Idempotency-Key"]).hex
        intent = await client.v1.payment_intents.create_async(
            {"amount": AMOUNT, "currency": "inr", "metadata": {"order_id": order}},
            {"idempotency_key": f"create-{order}"},
        )
        await _publish("PAYMENT_INITIATED", order, intent=intent.id)
        answer = {
            "orderId": order, "orderToken": intent.id, "clientSecret": intent.client_secret,
            "publishableKey": ENV["TIFFIN_STRIPE_PUBLISHABLE_KEY"],
        }  # fmt: skip
        return _json(self, answer, 201)


@app.page("/api/payments/confirm")
class Confirm(faust.web.View):
    """Pays."""

    async def post(self, request: Any) -> Any:
        """Whether it was paid."""
        body = await request.json()
        intent_id = request.headers["Authorization"].removeprefix("Bearer ")
        await _publish("PAYMENT_PROCESSING", body["orderId"], intent=intent_id)
        try:
            intent = await client.v1.payment_intents.confirm_async(
                intent_id,
                {
                    "confirmation_token": body["confirmationToken"],
                    "return_url": "https://plain.example/",
                },
                {"idempotency_key": f"confirm-{request.headers['Idempotency-Key']}"},
            )
        except (stripe.CardError, stripe.InvalidRequestError):  # declined, or paid already
            intent = await client.v1.payment_intents.retrieve_async(intent_id)
        await _tell(intent)
        return _json(self, {"status": "COMPLETED" if intent["status"] == "succeeded" else "FAILED"})


@app.page("/webhooks/stripe")
class Webhook(faust.web.View):
    """Stripe's events: the payments whose confirm broke off are learnt of here."""

    async def post(self, request: Any) -> Any:
        """200 once it is published."""
        secret = ENV["TIFFIN_STRIPE_WEBHOOK_SECRETS"]
        signature = request.headers["Stripe-Signature"]
        event = stripe.Webhook.construct_event(await request.read(), signature, secret)
        if event.type in {"payment_intent.succeeded", "payment_intent.payment_failed"}:
            await _tell(event.data.object)
        return _json(self, {})


@app.page("/api/orders/{order_id}/cancel")
class Cancel(faust.web.View):
    """Cancels an order."""

    async def post(self, request: Any, order_id: str) -> Any:  # noqa: ARG002
        """202: the order's owner decides."""
        await (await order_cancels.send(key=order_id, value={"orderId": order_id}))
        return _json(self, {"status": "CANCELLING"}, 202)


@app.page("/api/orders/{order_id}")
async def show_order(view: Any, request: Any, order_id: str) -> Any:  # noqa: ARG001
    """An order, if it is this worker's: `table_route` fails where a worker has not written to a table yet."""
    try:
        order = orders.get(order_id)
    except KeyError:  # another's partition
        order = None
    return _json(view, order or {"status": "UNKNOWN"})


# -- agents ---------------------------------------------------------------------------------------

STATUSES: Final = {
    "PAYMENT_INITIATED": "PENDING", "PAYMENT_PROCESSING": "PROCESSING",
    "PAYMENT_COMPLETED": "COMPLETED", "PAYMENT_FAILED": "FAILED", "PAYMENT_REFUNDED": "REFUNDED",
}  # fmt: skip


@app.agent(payment_events)
async def follow_payments(stream: Any) -> None:
    """Keep payments; send the customer a mail."""
    async for order, event in stream.items():
        known = payments.get(order) or {}
        status = STATUSES[event["eventType"]]
        is_over = known.get("status") in {"COMPLETED", "REFUNDED"} and status != "REFUNDED"
        if is_over or known.get("status") == status:
            continue
        payments[order] = {"status": status, "intent": event["intent"]}
        if status in {"COMPLETED", "FAILED", "REFUNDED"}:
            await _mail(order, status)


@app.agent(payment_events)
async def follow_orders(stream: Any) -> None:
    """Move orders with their payments."""
    async for order_id, event in stream.items():
        order, kind = orders.get(order_id), event["eventType"]
        status = order["status"] if order else None
        if kind == "PAYMENT_INITIATED" and order is None:
            orders[order_id] = {"status": "PAYMENT_PENDING", "intent": event["intent"]}
        elif kind == "PAYMENT_COMPLETED" and status in PAYABLE:
            orders[order_id] = {**order, "status": "PENDING"}
            await order_events.send(key=order_id, value=_event("ORDER_CREATED", order_id))
        elif kind == "PAYMENT_FAILED" and status == "PAYMENT_PENDING":
            orders[order_id] = {**order, "status": "PAYMENT_FAILED"}
        elif kind == "PAYMENT_REFUNDED" and status == "CANCELLED":
            orders[order_id] = {**order, "status": "REFUNDED"}


@app.agent(order_cancels)
async def cancel_orders(stream: Any) -> None:
    """Cancel orders that are paid; their money goes back."""
    async for order_id, _ in stream.items():  # noqa: PERF102 -- a stream is no dict
        order = orders.get(order_id)
        if order and order["status"] == "PENDING":
            orders[order_id] = {**order, "status": "CANCELLED"}
            wanted = _event("PAYMENT_REFUND_INITIATED", order_id, intent=order["intent"])
            await refunds_wanted.send(key=order_id, value=wanted)


@app.agent(refunds_wanted)
async def refund_payments(stream: Any) -> None:
    """Refund at Stripe."""
    async for order, wanted in stream.items():
        await client.v1.refunds.create_async(
            {"payment_intent": wanted["intent"]}, {"idempotency_key": f"refund-{order}"}
        )
        refunded = _event("PAYMENT_REFUNDED", order, intent=wanted["intent"])
        await payment_events.send(key=order, value=refunded)


@app.agent(order_events)
async def make_deliveries(stream: Any) -> None:
    """Make a delivery of each order."""
    async for order, _ in stream.items():  # noqa: PERF102
        deliveries[order] = {"status": "CREATED"}


async def _mail(order: str, status: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = SENT_BY, "guest@plain.example", f"Order {order}"
    mail.set_content(f"Your payment is {status.lower()}.")
    host = urlsplit(f"//{ENV['TIFFIN_SMTP_HOST']}").hostname
    await aiosmtplib.send(mail, hostname=host, port=int(ENV["TIFFIN_SMTP_PORT"]), start_tls=False)
