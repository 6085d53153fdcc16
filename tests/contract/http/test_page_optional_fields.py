"""Pages show what the API leaves out and what it may have: each answer at its barest and at its fullest."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest
from aiohttp import web
from pydantic import BaseModel

from tests.contract.http.conftest import Api, MakeApi
from tests.contract.http.test_every_page import HTML
from tests.contract.http.test_reconciliation_view import QUIET_OPERATIONS
from web.api import (
    deliveries,
    disputes,
    kitchen,
    refunds,
)
from web.http.commands import json_response
from web.http.tokens import Role
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


@pytest.mark.parametrize("full", [False, True], ids=["barest", "fullest"])
@pytest.mark.parametrize("path", PAGES)
async def test_a_page_shows_what_the_api_may_answer(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch, path: str, full: bool
) -> None:
    kind, where = PAGES[path]
    api = await make_api(operations=QUIET_OPERATIONS)
    answering(monkeypatch, where, of_model(kind, full=full))
    role = Role.COURIER if path == "/courier" else Role.OPERATOR
    for token in {api.staff.issue(role, "a"), api.operator}:
        text = await page(api, "GET", path, token)
        assert ">None<" not in text
        # Every number of these answers is 1.
        words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.split("<main")[1]))
        assert not re.findall(r"(?<![\w.,:@-])1 (?:of )?[a-z]+(?<!i)s\b", words)


@pytest.mark.parametrize("full", [False, True], ids=["barest", "fullest"])
@pytest.mark.parametrize("act", ["redrive", "discard"])
@pytest.mark.parametrize("state", [{"refused": False}, {"refused": True}, {"dry_run": False}])
async def test_acts_on_dead_letters_are_shown(
    make_api: MakeApi,
    monkeypatch: pytest.MonkeyPatch,
    act: str,
    state: dict[str, bool],
    full: bool,
) -> None:
    api = await make_api(operations=QUIET_OPERATIONS)
    shown = of_model(schemas.DeadLetterDetail, full=full)
    answering(monkeypatch, "web.ops.dead_letters.show_dead_letter", shown)
    acted = of_model(schemas.SettlementView, full=full).model_copy(update={"dry_run": True} | state)
    answering(monkeypatch, f"web.ops.dead_letters.{act}_dead_letter", acted)
    await page(api, "POST", f"/ops/dead-letters/a/{act}", api.operator, data={"reason": "x"})


RELEASED, HELD = "The order is released then", "The order would stay quarantined"
THROUGH, GIVEN_UP = "It would go through.", "It would be given up"


@pytest.mark.parametrize(
    ("act", "given", "said", "not_said"),
    [
        ("redrive", {}, [THROUGH, RELEASED], [HELD]),
        ("redrive", {"quarantined": True}, [THROUGH, HELD], [RELEASED]),
        ("redrive", {"refused": True, "quarantined": True, "verdict": "DEAD"},
         ["it would die again", HELD], [THROUGH, RELEASED, "Redrive now"]),
        ("redrive", {"refused": True, "quarantined": True, "verdict": "DUPLICATE"},
         ["it would have no effect", HELD], [THROUGH, RELEASED, "die again"]),
        ("discard", {"verdict": "DEAD"}, [GIVEN_UP, RELEASED], [THROUGH, HELD]),
        ("discard", {"verdict": "DEAD", "quarantined": True}, [GIVEN_UP, HELD], [THROUGH, RELEASED]),
        ("discard", {"stopped": "x would die again", "quarantined": True},
         [GIVEN_UP, HELD, "would stop: x would die again"], [THROUGH, RELEASED]),
    ],
)  # fmt: skip
async def test_a_rehearsal_says_what_becomes_of_the_order(
    make_api: MakeApi,
    monkeypatch: pytest.MonkeyPatch,
    act: str,
    given: dict[str, Any],
    said: list[str],
    not_said: list[str],
) -> None:
    api = await make_api(operations=QUIET_OPERATIONS)
    answering(
        monkeypatch,
        "web.ops.dead_letters.show_dead_letter",
        of_model(schemas.DeadLetterDetail, full=True),
    )
    step = schemas.RedriveStepView(dead_letter_id="a", verdict=given.pop("verdict", "DECIDED"))
    plain: dict[str, Any] = {"dry_run": True, "refused": False, "quarantined": False}
    acted = schemas.SettlementView(**(plain | given), steps=(step,))
    answering(monkeypatch, f"web.ops.dead_letters.{act}_dead_letter", acted)
    path = f"/ops/dead-letters/a/{act}"
    text = await page(api, "POST", path, api.operator, data={"reason": "x"})
    assert [words for words in said if words not in text] == []
    assert [words for words in not_said if words in text] == []


async def page(api: Api, method: str, path: str, token: str, **more: Any) -> str:
    headers = HTML | {"Authorization": f"Bearer {token}"}
    async with api.client.request(method, path, headers=headers, **more) as answer:
        text = await answer.text()
        assert answer.status == 200, f"{answer.status} {text[-2000:]}"
        return text
