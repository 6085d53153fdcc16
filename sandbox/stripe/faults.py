"""Faults of the API on request: slow, silent, broken and overloaded, before or after the effect."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from sandbox.stripe.state import Resource, new_id

# kind -> what it does to a request that it matches
KINDS = {
    "latency": "waits `seconds`, then takes effect and answers, client gone or not",
    "hold": "waits until it is released, then takes effect and answers, client gone or not",
    "timeout_before": "never answers, no effect; the key stays free",
    "timeout_after": "takes effect (stored for the key), never answers",
    "error_500_before": "answers 500 without effect; the 500 is stored for the key",
    "error_500_after": "takes effect, answers 500; the 500 is stored for the key",
    "rate_limit": "answers 429 (`code`: rate_limit, or of one object) without effect",
    "drop_before": "closes the connection, no effect; the key stays free",
    "drop_after": "takes effect (stored for the key), closes the connection",
}


@dataclass(slots=True)
class Fault:
    """One fault for the next `times` requests (None: all) that match.

    method: of HTTP, None for any. path: regex searched in the path. idempotency_key: regex
    searched in the key; a request without one doesn't match then.
    """

    kind: str
    method: str | None = None
    path: str = ""
    idempotency_key: str | None = None
    times: int | None = 1
    seconds: float = 1.0
    code: str = "rate_limit"
    hits: int = 0
    id: str = field(default_factory=lambda: new_id("fault_"))
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, method: str, path: str, key: str | None) -> bool:
        """Whether a request meets this fault; does not use it up."""
        return (
            self.times != 0
            and self.method in (None, method)
            and re.search(self.path, path) is not None
            and (
                self.idempotency_key is None
                or (key is not None and re.search(self.idempotency_key, key) is not None)
            )
        )

    def describe(self) -> Resource:
        """For the control API."""
        shown = ("id", "kind", "method", "path", "idempotency_key", "times", "hits")
        return {name: getattr(self, name) for name in shown}


class Faults:
    """The faults that wait for their request, in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Arm a fault."""
        self._faults.append(fault)
        return fault

    def take(self, method: str, path: str, key: str | None) -> Fault | None:
        """The first fault that matches, used once."""
        for fault in self._faults:
            if fault.matches(method, path, key):
                fault.hits += 1
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def all(self) -> list[Fault]:
        """Armed and used up ones."""
        return list(self._faults)

    def release(self, id_: str | None) -> int:
        """Let the requests go that a hold keeps, of one fault or of all; returns how many faults."""
        chosen = [f for f in self._faults if f.kind == "hold" and id_ in (None, f.id)]
        for fault in chosen:
            fault.times = 0
            fault.released.set()
        return len(chosen)

    def clear(self) -> int:
        """Remove all faults and let held requests go; returns how many there were."""
        self.release(None)
        count = len(self._faults)
        self._faults.clear()
        return count
