"""What the bench counts as lost or doubled: each seeded violation shows in its column, and only there."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest

from bench.killed_orders import Load, Outcome, Visit
from sandbox.platform import Platform

KEPT, CANCELLED = "order_kept", "order_cancelled"


def intent(order: str, charges: int = 1, refunds: int = 0) -> dict[str, Any]:
    return {
        "metadata": {"order_id": order},
        "charges": {"succeeded": charges, "pending": 0, "failed": 0},
        "refunds": {"succeeded": refunds, "pending": 0},
    }


LEDGER = {"payment_intents": {"pi_1": intent(KEPT), "pi_2": intent(CANCELLED, refunds=1)}}
MADE = Counter({KEPT: 1, CANCELLED: 1})
LOSSES = (
    "failed",
    "charged_twice",
    "paid_without_order",
    "made_twice",
    "not_refunded",
    "refunded_twice",
)


def found(ledger: Any, made: Counter[str]) -> dict[str, int]:
    load = Load(Platform(workers=1), 1.0)
    load.visits = [
        Visit(order=KEPT),
        Visit(order=CANCELLED, is_cancelled=True),
    ]
    outcome = Outcome.of(load, ledger, made, 1.0)
    assert (outcome.customers, outcome.cpu_ms) == (2, 500.0)
    return {name: getattr(outcome, name) for name in LOSSES if getattr(outcome, name)}


def test_nothing_is_counted_where_all_is_well() -> None:
    assert found(LEDGER, MADE) == {}


@pytest.mark.parametrize(
    ("column", "intents", "made"),
    [
        ("charged_twice", {"pi_1": intent(KEPT, charges=2)}, {}),
        ("charged_twice", {"pi_3": intent(KEPT)}, {}),
        ("paid_without_order", {}, {KEPT: 0}),
        ("made_twice", {}, {KEPT: 2}),
        ("not_refunded", {"pi_2": intent(CANCELLED)}, {}),
        ("refunded_twice", {"pi_2": intent(CANCELLED, refunds=2)}, {}),
    ],
)
def test_a_violation_is_counted(column: str, intents: dict[str, Any], made: dict[str, int]) -> None:
    ledger = copy.deepcopy(LEDGER)
    ledger["payment_intents"].update(intents)
    assert found(ledger, Counter({**MADE, **made})) == {column: 1}
