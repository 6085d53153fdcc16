"""What the simulation says about refusals: of what, and how often."""

from __future__ import annotations

from sandbox.endpoints import Endpoints
from sandbox.simulate import Simulation

NOWHERE = Endpoints(kafka="", stripe="", control="", mailbox="", workers=())


def test_refusals_are_told_with_what_they_were_of() -> None:
    day = Simulation(NOWHERE, started=3)
    assert day.summary() == "3 customers so far, nothing refused"
    day.failures.update({"courier: DELIVERY_TAKEN": 2, "a customer who cancels: ORDER_ACCEPTED": 1})
    assert day.summary() == (
        "3 customers so far, 3 refusals, most of them: courier: DELIVERY_TAKEN (2); "
        "a customer who cancels: ORDER_ACCEPTED (1)"
    )
