"""What an input costs the engine, counted: how often Python calls, not how long that takes."""

from __future__ import annotations

import cProfile
import pstats
from typing import Any

import orjson

from models.transition import Decision, Input, InputIdentity, Output
from tables import Counters, Limits
from tables.processor import Processor
from tests.support.engine_services import Consumed, ToyService

MAX_CALLS_PER_INPUT = 44
"""Of functions, Python's and C's, from a fetched record to its output and to the bytes of the record, of ten
inputs a key in a commit batch."""
KEYS, INPUTS_PER_KEY = 100, 10


class CheapService(ToyService):
    """Counts, so that what is measured is the engine."""

    name = "cheap"
    inputs = ("in",)

    def parse(self, topic: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
        return InputIdentity(value.decode()), None

    def decide(self, state: Any, record: Input, read: Any) -> Decision:
        return Decision((state or 0) + 1, (Output("out", record.key, b"event"),))


def _calls(first: int) -> float:
    store: dict[bytes, bytes] = {}
    processor: Processor[list[Any]] = Processor(
        CheapService(), store.get, list, epoch=1, durable_offsets={"in": -1}, limits=Limits(),
        counters=Counters(), dead_letter_topic="dlq",
    )  # fmt: skip
    count = KEYS * INPUTS_PER_KEY
    inputs = [
        Consumed(b"key-%d" % (n % KEYS), b"id-%d" % (first + n), n, topic="in")
        for n in range(count)
    ]
    profile = cProfile.Profile()
    profile.enable()
    taken = processor.process("in", inputs)
    commit_batch, records = processor.close_commit_batch()
    profile.disable()
    assert taken == count == commit_batch.count
    assert len(records) == KEYS
    assert all(orjson.loads(value)["state"] == INPUTS_PER_KEY for _, value in records)
    calls: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return calls / count


def test_an_input_costs_the_engine_few_calls() -> None:
    _calls(0)  # what is made once
    assert _calls(1_000_000) <= MAX_CALLS_PER_INPUT
