"""The engine under measurement: a worker with a trivial service and every guarantee on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import orjson

from bench.engine_worker import worker
from models import ids
from models.transition import Decision, IndexData, Input, InputIdentity, Output, Retained

if TYPE_CHECKING:
    from collections.abc import Callable

SINK = os.environ["BENCH_SINK"]


class CountingService:
    """Counts a key's records and emits one event for each."""

    name = "bench"
    inputs: tuple[str, ...] = (os.environ["BENCH_INPUT"],)
    dictionaries: tuple[bytes, ...] = ()

    def parse(self, topic: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
        """Read JSON."""
        message = orjson.loads(value)
        return InputIdentity(message["eventId"]), message

    def load(self, raw: Any) -> Any:
        """Give the state as it is."""
        return raw

    def dump(self, state: Any) -> Any:
        """Give the state as it is."""
        return state

    is_indexed = False

    def has_ended(self, _: Any) -> bool:
        """Never."""
        return False

    def index(self, _: Any) -> IndexData:
        """Nothing."""
        return IndexData()

    retention = ""

    def retain(self, state: Any, _: int) -> Retained:
        """All of it."""
        return Retained(state)

    def decide(self, state: Any, record: Input, read: Callable[[str], bytes | None]) -> Decision:
        """Count the record and emit its event."""
        number = state["number"] + 1 if state else 1
        event = {
            "eventId": ids.event_id(record.identity.id, self.name, 1),
            "eventType": "ORDER_CREATED",
            "orderId": record.key,
            "number": number,
            "padding": record.message["padding"],
        }
        state = {"number": number, "last": record.message["eventType"]}
        return Decision(state, (Output(SINK, record.key, orjson.dumps(event)),))


app, runtime = worker(CountingService())
