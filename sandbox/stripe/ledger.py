"""The money of each PaymentIntent and in total by currency, as tests and reconciliation compare it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sandbox.stripe.state import Resource, State

REFUND_STATUSES = ("pending", "requires_action", "succeeded", "failed", "canceled")


def ledger(state: State) -> Resource:
    """Totals by currency and the entry of each PaymentIntent, in minor units.

    refunded: by refunds that succeeded; refund_pending apart; disputed: taken by the bank;
    net = captured - refunded - disputed + reinstated.
    """
    intents = {id_: _of_intent(intent) for id_, intent in state.payment_intents.items()}
    # One pass over each resource, so that the ledger of many payments stays quick.
    for charge in state.charges.values():
        entry = intents[charge["payment_intent"]]
        entry["charges"][charge["status"]] += 1
        entry["charge_ids"].append(charge["id"])
        if charge["captured"]:
            entry["captured"] += charge["amount_captured"]
    for refund in state.refunds.values():
        entry = intents[refund["payment_intent"]]
        entry["refunds"][refund["status"]] += 1
        entry["refund_ids"].append(refund["id"])
        if refund["status"] == "succeeded":
            entry["refunded"] += refund["amount"]
        elif refund["status"] == "pending":
            entry["refund_pending"] += refund["amount"]
    for dispute in state.disputes.values():
        entry = intents[dispute["payment_intent"]]
        entry["disputes"][dispute["status"]] = entry["disputes"].get(dispute["status"], 0) + 1
        for movement in dispute["balance_transactions"]:
            if movement["amount"] < 0:
                entry["disputed"] -= movement["amount"]
            else:
                entry["reinstated"] += movement["amount"]
    for entry in intents.values():
        entry["net"] = _net(entry)
    return {"totals": _totals(intents), "payment_intents": intents}


def _of_intent(intent: Resource) -> dict[str, Any]:
    return {
        "status": intent["status"],
        "amount": intent["amount"],
        "amount_received": intent["amount_received"],
        "currency": intent["currency"],
        "metadata": intent["metadata"],
        "charges": {"succeeded": 0, "pending": 0, "failed": 0},
        "charge_ids": [],
        "refunds": dict.fromkeys(REFUND_STATUSES, 0),
        "refund_ids": [],
        "disputes": {},
        "captured": 0,
        "refunded": 0,
        "refund_pending": 0,
        "disputed": 0,
        "reinstated": 0,
    }


def _net(entry: Resource) -> int:
    net: int = entry["captured"] - entry["refunded"] - entry["disputed"] + entry["reinstated"]
    return net


def _totals(intents: dict[str, Resource]) -> Resource:
    amounts = ("captured", "refunded", "refund_pending", "disputed", "reinstated", "net")
    totals: dict[str, Any] = {}
    for entry in intents.values():
        total = totals.setdefault(entry["currency"], dict.fromkeys(amounts, 0))
        for name in amounts:
            total[name] += entry[name]
    statuses = Counter(entry["status"] for entry in intents.values())
    return {"by_currency": totals, "payment_intents": dict(statuses)}
