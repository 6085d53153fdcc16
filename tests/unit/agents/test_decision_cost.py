"""What a decision costs, counted: how often Python calls, not how long that takes."""

from __future__ import annotations

import cProfile
import pstats

from bench import payments
from models import ids

MAX_CALLS_PER_INPUT = 120
"""Of functions, Python's and C's, from an input's bytes to the bytes of its events and of the state. With
pydantic they were 353."""


def test_a_payments_inputs_cost_few_calls() -> None:
    order = ids.order_id("guest", "counted")
    inputs = payments.inputs_of(order)
    payments.play(order, inputs)  # what is made once
    profile = cProfile.Profile()
    profile.enable()
    payments.play(order, inputs)
    profile.disable()
    calls = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    assert calls / len(inputs) <= MAX_CALLS_PER_INPUT
