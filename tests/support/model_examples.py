"""An answer of the API with every field, or with only those that must be there, for each page."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest
from aiohttp import web
from pydantic import BaseModel

from web.api import (
    deliveries,
    disputes,
    kitchen,
    refunds,
)
from web.http.commands import json_response
from web.ops import (
    notifications,
    orders,
    payment_report,
    reconciliation,
    schemas,
    stuck,
)

AT = "2026-11-23T12:00:00.000Z"
"""What every text is that has no value of its own below: pages show most of them as times."""


TEXTS = {
    "order_id": "order_01h2xcejqtf2nbrexx3vqjhp41", "currency": "INR", "status": "PENDING",
    "message": "a" * 80, "error": "builtins.AnErrorWithALongName", "stripe_intent_id": "pi_" + "3" * 40,
    "url": "http://worker-with-a-name-that-is-long.internal.example:6066", "topic": "payment-events-dlq",
    "channel": "EMAIL", "event_type": "PAYMENT_COMPLETED", "format": "json", "state": "OPEN",
}  # fmt: skip


MAPS: Mapping[str, Any] = {
    "counts": {"OPEN": 1, "PENDING": 2, "WAITING_FOR_OPERATOR": 1, "FAILED": 1, "SENT": 2},
    "dead_letters": {"OPEN": 1, "REDRIVEN": 0, "DISCARDED": 2},
    "headers": {"ce_id": "x"},
    "entries": {"eventType": "REFUSED", "occurredAt": AT},
}


def made(kind: Any, name: str, *, full: bool) -> Any:
    """A value of the type that a field of this name has; full: with everything that may be left out."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return made(arguments[0], name, full=full)
    if origin in {typing.Union, types.UnionType}:
        return made(arguments[0], name, full=full) if full else None
    if origin is tuple:
        return (made(arguments[0], name, full=full),)
    if origin is dict or kind is dict:
        return MAPS.get(name, {"OPERATOR": 1} if full else {})
    if origin is typing.Literal:
        return arguments[0]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return of_model(kind, full=full)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    plain = {str: TEXTS.get(name, AT), int: 1, float: 0.5, bool: full, Any: {"a": 1}}
    return plain[kind]


def of_model(kind: type[BaseModel], *, full: bool) -> BaseModel:
    fields = {
        name: made(field.annotation, name, full=full) for name, field in kind.model_fields.items()
    }
    return kind.model_construct(**fields)


PAGES: Mapping[str, tuple[type[BaseModel], str]] = {
    "/kitchen": (kitchen.KitchenOrders, "web.api.kitchen.list_kitchen_orders"),
    "/courier": (deliveries.DeliveryRows, "web.api.deliveries.list_deliveries"),
    "/ops": (schemas.Overview, "web.ops.overview.show_overview"),
    "/ops/orders": (orders.OrderRows, "web.ops.orders.list_orders"),
    "/ops/stuck": (stuck.StuckList, "web.ops.stuck.list_stuck"),
    "/ops/dead-letters": (schemas.DeadLetterList, "web.ops.dead_letters.list_dead_letters"),
    "/ops/dead-letters/a": (schemas.DeadLetterDetail, "web.ops.dead_letters.show_dead_letter"),
    "/ops/payments": (payment_report.PaymentReport, "web.ops.reports.report_payments"),
    "/ops/refunds": (refunds.RefundRows, "web.api.refunds.list_refunds"),
    "/ops/disputes": (disputes.DisputeRows, "web.api.disputes.list_disputes"),
    "/ops/notifications": (
        notifications.NotificationRows, "web.pages.ops.notifications.list_notifications"
    ),
    "/ops/reconciliation": (
        reconciliation.ReconciliationView, "web.ops.reconciliation.show_reconciliation"
    ),
    "/ops/lag": (schemas.LagView, "web.ops.overview.show_lag"),
    "/ops/audit": (schemas.AuditView, "web.ops.overview.list_audit"),
}  # fmt: skip
"""Page -> what its handler of the API answers, and where the page finds that handler."""


def answering(monkeypatch: pytest.MonkeyPatch, where: str, answer: BaseModel) -> None:
    async def handler(_: web.Request) -> web.Response:
        return json_response(answer)

    monkeypatch.setattr(where, handler)
