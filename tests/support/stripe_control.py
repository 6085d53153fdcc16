"""Steers Stripe's stand-in by its control API."""

from __future__ import annotations

from typing import Any

import aiohttp

from tests.support.waiting import until


class StripeControl:
    """Faults, webhook rules, settlements and the ledger of one stand-in."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self.base, self._session = base, session

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        async with self._session.request(method, f"{self.base}/_control{path}", json=body) as got:
            answer = await got.json()
            assert got.status == 200, answer
            return answer

    async def fault(self, kind: str, key: str, **more: Any) -> str:
        """A fault for requests whose idempotency key matches; gives its id."""
        body = {"kind": kind, "idempotency_key": key, "method": "POST", **more}
        return str((await self._call("POST", "/faults", body))["id"])

    async def hits(self, fault: str) -> int:
        """How often a fault was met."""
        found = await self._call("GET", "/faults")
        return int(next(entry["hits"] for entry in found if entry["id"] == fault))

    async def met(self, fault: str, times: int = 1) -> None:
        """Wait until a fault was met."""

        async def is_met() -> bool:
            return await self.hits(fault) >= times

        await until(is_met, f"fault {fault} to be met {times} times")

    async def release(self, fault: str) -> None:
        """Let go what a fault of kind hold keeps."""
        await self._call("POST", "/faults/release", {"id": fault})

    async def rule(self, kind: str, intent: str, **more: Any) -> None:
        """What becomes of webhooks about a payment intent; for all of them, unless told else."""
        body = {"kind": kind, "payment_intent": intent, "times": None, **more}
        await self._call("POST", "/webhooks/rules", body)

    async def deliver_held(self, order: str = "fifo", events: str = ".") -> int:
        """Deliver what rules hold; gives how many."""
        answer = await self._call("POST", "/webhooks/release", {"order": order, "events": events})
        return int(answer["released"])

    async def undelivered(self) -> list[dict[str, Any]]:
        """Deliveries that no endpoint has taken."""
        return list(await self._call("GET", "/webhooks/undelivered"))

    async def settle(self, outcome: str | None = None, **what: str) -> None:
        """End a processing payment_intent or a refund."""
        await self._call("POST", "/settle", {"outcome": outcome, **what})

    async def three_d_secure(self, intent: str, outcome: str) -> None:
        """The customer succeeds or fails at the bank's page."""
        await self._call("POST", f"/3ds/{intent}", {"outcome": outcome})

    async def warn_of_fraud(self, intent: str) -> str:
        """The card's issuer reports fraud; gives the warning's id."""
        body = {"payment_intent": intent}
        return str((await self._call("POST", "/fraud_warnings", body))["id"])

    async def open_review(self, intent: str) -> str:
        """A rule of Radar wants the payment to be looked at; gives the review's id."""
        return str((await self._call("POST", "/reviews", {"payment_intent": intent}))["id"])

    async def close_review(self, review: str, reason: str = "approved") -> None:
        """Somebody decides at Stripe."""
        await self._call("POST", "/reviews/close", {"review": review, "reason": reason})

    async def requests(self, key: str) -> list[dict[str, Any]]:
        """Requests whose idempotency key begins so."""
        found = await self._call("GET", "/requests")
        return [entry for entry in found if (entry["idempotency_key"] or "").startswith(key)]

    async def ledger(self) -> dict[str, list[dict[str, Any]]]:
        """Order id -> its payment intents, as Stripe knows them."""
        answer = await self._call("GET", "/ledger")
        orders: dict[str, list[dict[str, Any]]] = {}
        for intent, entry in answer["payment_intents"].items():
            order = entry["metadata"].get("orderId", "")
            orders.setdefault(order, []).append({"id": intent, **entry})
        return orders

    async def clear(self) -> None:
        """Forget all faults and rules, let go what they hold."""
        await self._call("DELETE", "/faults")
        await self._call("DELETE", "/webhooks/rules")
