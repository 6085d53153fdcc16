"""An answer of the API with every field, or with only those that must be there, for each page."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest
from msgspec import structs
from pydantic import BaseModel

from models.messages import Message
from web.api import (
    deliveries,
    disputes,
    kitchen,
    kitchen_history,
    refunds,
)
from web.http import dispatch
from web.ops import (
    audit,
    dead_letter_views,
    dead_letters,
    lag,
    notifications,
    orders,
    overview,
    payment_report,
    reconciliation,
    reports,
    stuck,
)

AT = "2026-11-23T12:00:00.000Z"
"""What every text is that has no value of its own below: pages show most of them as times."""
TEXTS = {
    "order_id": "order_01h2xcejqtf2nbrexx3vqjhp41", "currency": "INR", "status": "PENDING",
    "message": "a" * 80, "error": "builtins.AnErrorWithALongName", "stripe_intent_id": "pi_" + "3" * 40,
    "url": "http://worker-with-a-name-that-is-long.internal.example:6066", "topic": "payment-events-dlq",
    "channel": "EMAIL", "event_type": "PAYMENT_COMPLETED", "format": "json", "state": "OPEN",
    "day": "2026-11-23",
}  # fmt: skip
MAPS: Mapping[str, Any] = {
    "counts": {"OPEN": 1, "PENDING": 2, "WAITING_FOR_OPERATOR": 1, "FAILED": 1, "SENT": 2},
    "dead_letters": {"OPEN": 1, "REDRIVEN": 0, "DISCARDED": 2},
    "headers": {"ce_id": "x"},
    "entries": {"eventType": "REFUSED", "occurredAt": AT},
}


def made(kind: Any, name: str, *, full: bool) -> Any:  # noqa: PLR0911 -- one a kind of type
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
    if isinstance(kind, type) and issubclass(kind, Message):
        fields = structs.fields(kind)
        return kind(**{field.name: made(field.type, field.name, full=full) for field in fields})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    plain = {str: TEXTS.get(name, AT), int: 1, float: 0.5, bool: full, Any: {"a": 1}}
    return plain[kind]


def of_model(kind: type[BaseModel], *, full: bool) -> BaseModel:
    fields = {
        name: made(field.annotation, name, full=full) for name, field in kind.model_fields.items()
    }
    return kind.model_construct(**fields)


PAGES: Mapping[str, tuple[type[BaseModel], Any]] = {
    "/kitchen": (kitchen.KitchenOrders, kitchen.ListKitchenOrders),
    "/kitchen/history": (kitchen_history.KitchenHistory, kitchen_history.ListKitchenHistory),
    "/courier": (deliveries.DeliveryRows, deliveries.ListDeliveries),
    "/ops": (overview.Overview, overview.ShowOverview),
    "/ops/orders": (orders.OrderRows, orders.ListOrders),
    "/ops/stuck": (stuck.StuckList, stuck.ListStuck),
    "/ops/dead-letters": (dead_letter_views.DeadLetterList, dead_letters.list_dead_letters),
    "/ops/dead-letters/a": (dead_letter_views.DeadLetterDetail, dead_letters.show_dead_letter),
    "/ops/payments": (payment_report.PaymentReport, reports.ReportPayments),
    "/ops/refunds": (refunds.RefundRows, refunds.ListRefunds),
    "/ops/disputes": (disputes.DisputeRows, disputes.ListDisputes),
    "/ops/notifications": (notifications.NotificationRows, notifications.list_notifications),
    "/ops/reconciliation": (
        reconciliation.ReconciliationView, reconciliation.ShowReconciliation
    ),
    "/ops/lag": (lag.LagView, lag.ShowLag),
    "/ops/audit": (audit.AuditView, audit.list_audit),
}  # fmt: skip
"""Page -> the result that it shows, and the query that gives it."""


def answering(monkeypatch: pytest.MonkeyPatch, query: Any, answer: BaseModel) -> None:
    """Let a query give this answer."""
    real = dispatch.given_by

    async def given_by(run: Any, call: Any) -> Any:
        return answer if run is query else await real(run, call)

    monkeypatch.setattr(dispatch, "given_by", given_by)
