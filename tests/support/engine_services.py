"""Services for tests of the engine, and the records that they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from models.transition import (
    Decision,
    IndexData,
    Input,
    InputIdentity,
    Outcome,
    Output,
    Retained,
    UnreadableError,
)


class Consumed(NamedTuple):
    """As much of aiokafka's ConsumerRecord as the engine looks at."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int = 1_000
    timestamp_type: int = 1
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 0
    topic: str = ""


class ToyService:
    """State is JSON as it is; messages have id and, from an engine, producer and sequence."""

    is_indexed = True
    dictionaries: tuple[bytes, ...] = ()

    def parse(self, topic: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
        del topic, key
        try:
            message = orjson.loads(value)
            identity = InputIdentity(
                message["id"], message.get("producer", ""), message.get("sequence", 0)
            )
        except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError) as exc:
            raise UnreadableError(type(exc).__name__) from exc
        return identity, message

    def load(self, raw: Any) -> Any:
        return raw or []

    def dump(self, state: Any) -> Any:
        return state

    def has_ended(self, _: Any) -> bool:
        return False

    def index(self, _: Any) -> IndexData:
        return IndexData()

    retention = ""

    def retain(self, state: Any, _: int) -> Retained:
        return Retained(state)


class EchoService(ToyService):
    """Appends each id to its state and emits it, numbered; the message may ask for more (see decide)."""

    name = "echo"
    inputs = ("in-a", "in-b")

    def parse(self, topic: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
        del topic, key
        if not value.startswith(b"{"):
            raise UnreadableError("not an object")
        message = orjson.loads(value)
        return InputIdentity(message["id"], message.get("p", ""), message.get("s", 0)), message

    def decide(self, state: Any, record: Input, read: Callable[[str], bytes | None]) -> Decision:
        message = record.message
        if message.get("poison"):
            raise ValueError("poison")
        rows = {}
        if message.get("row"):
            rows[f"{record.key}/count"] = b"%d" % (1 + int(read(f"{record.key}/count") or 0))
        new = [*state, record.identity.id + "x" * message.get("grow", 0)]
        value = orjson.dumps({"n": len(new), "id": record.identity.id})
        outputs = [Output("out", record.key, value + b"y" * message.get("swell", 0))]
        if message.get("quiet"):
            outputs = []
        return Decision(new, outputs, rows, Outcome(accepted=True, code=record.identity.id))


def body(id_: str, **more: Any) -> bytes:
    """An input of EchoService."""
    return orjson.dumps({"id": id_, **more})


class AddingService(ToyService):
    """Keeps the numbers that it is sent; raises at `poison` while it is broken."""

    name = "adding"
    inputs = ("commands",)

    def __init__(self) -> None:
        self.is_broken = True

    def parse(self, topic: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
        message = orjson.loads(value)
        producer = message.get("producer", "upstream")
        return InputIdentity(str(message["n"]), producer, message["n"] if producer else 0), message

    def has_ended(self, state: Any) -> bool:
        return bool(state)

    def decide(self, state: Any, record: Input, read: Callable[[str], bytes | None]) -> Decision:
        if record.message.get("poison") and self.is_broken:
            raise ValueError("poisoned")
        event = Output("events", record.key, b"%d" % record.message["n"])
        return Decision([*state, record.message["n"]], [event], outcome=Outcome(accepted=True))


class Plain:
    """A service whose state is its JSON; states with "done" are terminal. "in" and "sums" are its index.

    Terminal ones lose their "secret" at the time "until".
    """

    name = "plain"
    inputs = ("in",)
    is_indexed = True

    def index(self, state: Any) -> IndexData:
        state = state or {}
        names = state.get("in", [])
        return IndexData(names, [f"ended/{name}" for name in names], state.get("sums", {}))

    dictionaries: tuple[bytes, ...] = ()
    retention = ""

    def retain(self, state: Any, at_ms: int) -> Retained:
        """Without its "secret" from "until" on."""
        until = state.get("until") if state else None
        if until is None or "secret" not in state:
            return Retained(state)
        if at_ms < until:
            return Retained(state, until)
        return Retained({name: value for name, value in state.items() if name != "secret"})

    def load(self, raw: Any) -> Any:
        return raw

    def dump(self, state: Any) -> Any:
        return state

    def has_ended(self, state: Any) -> bool:
        return bool(state and state.get("done"))


PLAIN: Any = Plain()
