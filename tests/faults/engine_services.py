"""Two order-sensitive services for the attacks: what they emit tells in which order they decided.

The first takes commands of two outside topics; the second takes one of these as well, and the first one's
events. Both keep all ids they applied, so that a verifier can decide everything anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from models.transition import Decision, IndexData, Input, Outcome, Output
from tests.support.engine_services import ToyService


class CountingService(ToyService):
    """Counts a key's inputs; emits one event an input, two every third, a row every fifth; ends each fourth."""

    def __init__(self, name: str, inputs: Sequence[str], outputs: str) -> None:
        self.name = name
        self.inputs = tuple(inputs)
        self.outputs = outputs

    def load(self, raw: Any) -> Any:
        return raw or {"n": 0, "hash": "", "sequence": 0, "applied": [], "gaps": 0, "last": 0}

    def has_ended(self, state: Any) -> bool:
        return state["n"] % 4 == 0  # so that some are packed, and go on

    def index(self, state: Any) -> IndexData:
        return IndexData([f"tens/{state['n'] // 10:04d}"], sums={"n": state["n"]})

    def decide(self, state: Any, record: Input, read: Callable[[str], bytes | None]) -> Decision:
        message = record.message
        if message.get("poison"):
            raise ValueError("poisoned")
        n = state["n"] + 1
        digest = hashlib.sha256(f"{state['hash']}{record.identity.id}".encode()).hexdigest()[:16]
        new = {
            "n": n,
            "hash": digest,
            "sequence": state["sequence"],
            "applied": [*state["applied"], [record.topic, record.identity.id]],
            "gaps": state["gaps"],
            "last": state["last"],
        }
        if record.identity.producer:
            new["gaps"] += record.identity.sequence != state["last"] + 1
            new["last"] = record.identity.sequence
        outputs = []
        for index in range(2 if n % 3 == 0 else 1):
            new["sequence"] += 1
            event = {
                "id": f"{self.name}:{record.identity.id}:{index}",
                "key": record.key,
                "producer": self.name,
                "sequence": new["sequence"],
                "n": n,
                "hash": digest,
            }
            outputs.append(Output(self.outputs, record.key, orjson.dumps(event), record.headers))
        rows = {}
        if n % 5 == 0:
            # Where a worker was cut off between a group's rows and its records, rows are there before
            # their records: then this one or, as a group may hold many inputs of a key, a later one.
            latest = int(read(f"{record.key}/latest") or b"0")
            new["gaps"] += latest < n - 5 or n - 5 < latest < n
            rows = {
                f"{record.key}/{n:06d}": digest.encode(),
                f"{record.key}/latest": b"%d" % n,
            }
        outcome = None
        if message.get("command"):
            outcome = Outcome(accepted=True, events=(record.identity.id,))
        return Decision(new, outputs, rows, outcome)


def services(run: str) -> list[CountingService]:
    """The services of a run, their topics named after it."""
    topics = {name: f"{run}-{name}" for name in ("commands", "webhooks", "events", "tallies")}
    return [
        CountingService("counter", [topics["commands"], topics["webhooks"]], topics["events"]),
        CountingService("tally", [topics["events"], topics["webhooks"]], topics["tallies"]),
    ]


class GivingService(CountingService):
    """Counts, and gives each input's number to one of five other keys: targets of all partitions."""

    def __init__(self, name: str, inputs: Sequence[str], outputs: str, gifts: str) -> None:
        super().__init__(name, inputs, outputs)
        self.gifts = gifts

    def decide(self, state: Any, record: Input, read: Callable[[str], bytes | None]) -> Decision:
        decision = super().decide(state, record, read)
        n, digest = decision.state["n"], decision.state["hash"]
        gift = {"id": f"{record.topic}:{record.identity.id}", "from": record.key, "n": n}
        given = Output(self.gifts, f"target-{int(digest, 16) % 5}", orjson.dumps(gift))
        return decision._replace(outputs=[given, *decision.outputs])


class TakingService(CountingService):
    """Keeps the ids of what it is given, and how often a giver's number fell."""

    def load(self, raw: Any) -> Any:
        return raw or {"n": 0, "ids": [], "last": {}, "falls": 0}

    def decide(self, state: Any, record: Input, _: Callable[[str], bytes | None]) -> Decision:
        gift, last = record.message, state["last"]
        new = {
            "n": state["n"] + 1,
            "ids": [*state["ids"], gift["id"]],
            "last": {**last, gift["from"]: gift["n"]},
            "falls": state["falls"] + (gift["n"] <= last.get(gift["from"], 0)),
        }
        return Decision(new)


def keyed_services(run: str) -> list[CountingService]:
    """A service whose outputs have keys of their own, and the one that reads them."""
    gifts, inputs = f"{run}-gifts", [f"{run}-commands", f"{run}-webhooks"]
    return [
        GivingService("giver", inputs, f"{run}-events", gifts),
        TakingService("taker", [gifts], f"{run}-taken"),
    ]
