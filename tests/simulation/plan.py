"""What happens in a history: orders with what becomes of them, and faults. All of it is made from the seed.

A plan is data, so that one that fails can be made smaller: fewer orders, fewer faults, and the rest as it was.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

ORDERS_S = 12.0
"""In which all orders are placed."""
FAULTS_S = 18.0
"""In which all faults begin."""

CARDS = (
    ("pm_card_visa", 10),
    ("pm_card_chargeDeclined", 2),
    ("pm_card_threeDSecure2Required", 2),
    ("pm_card_pendingRefund", 2),
    ("pm_card_refundFail", 1),
    ("pm_card_createDispute", 1),
    ("pm_card_createDisputeInquiry", 1),
)
STORIES = (
    ("delivered", 6),
    ("cancelled while paying", 2),
    ("cancelled after paying", 3),
    ("rejected", 2),
    ("never paid", 1),
    ("kitchen silent", 2),
    ("refunded in part", 2),
)
FAULTS = (
    ("crash", 7),
    ("stop", 5),
    ("cut off", 2),
    ("power cut", 2),
    ("wipe", 1),
    ("restart", 2),
    ("join", 1),
    ("leader away", 2),
    ("requests lost", 3),
    ("answers lost", 3),
    ("slow network", 2),
    ("compaction", 1),
    ("empty offsets", 1),
    ("streams lose", 2),
    ("stripe times out before", 2),
    ("stripe times out after", 2),
    ("stripe answers 500 before", 1),
    ("stripe answers 500 after", 1),
    ("webhooks lost", 2),
    ("webhooks late", 2),
    ("webhooks doubled", 1),
    ("mail away", 1),
    ("mail unanswered", 1),
)


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """One order. at_s: when it is placed. pause_s: between two steps of its people. card: it is paid with."""

    number: int
    at_s: float
    pause_s: float
    card: str
    story: str
    repeats: bool
    """Whether its customer sends each request twice."""
    amount: int = 2500


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One fault. at_s, for_s: when, and for how long. worker: which is hit. steps: after how many of its steps.

    share: of what is hit.
    """

    number: int
    kind: str
    at_s: float
    for_s: float
    worker: int
    steps: int
    share: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole history, before it happens."""

    seed: int
    workers: int
    orders: tuple[OrderPlan, ...]
    faults: tuple[FaultPlan, ...]

    def only(self, orders: frozenset[int] | None, faults: frozenset[int] | None) -> Plan:
        """With these alone."""
        return replace(
            self,
            orders=tuple(o for o in self.orders if orders is None or o.number in orders),
            faults=tuple(f for f in self.faults if faults is None or f.number in faults),
        )


def make_plan(seed: int, kinds: frozenset[str] = frozenset()) -> Plan:
    """The plan of a seed. kinds: of its faults; all, where none is named."""
    draw = random.Random(f"plan {seed}")
    orders = tuple(
        OrderPlan(
            number,
            at_s=draw.uniform(1.0, ORDERS_S),
            pause_s=draw.choice((0.0, 0.2, 1.0, 3.0)),
            card=_choice(draw, CARDS),
            story=_choice(draw, STORIES),
            repeats=draw.random() < 0.2,
            amount=draw.choice((2500, 100, 99999)),
        )
        for number in range(draw.randint(2, 6))
    )
    faults = tuple(
        FaultPlan(
            number,
            kind=_choice(draw, tuple(f for f in FAULTS if not kinds or f[0] in kinds)),
            at_s=draw.uniform(0.5, FAULTS_S),
            for_s=draw.choice((0.5, 2.0, 5.0, 9.0, 12.0)),
            worker=draw.randrange(8),
            steps=draw.randrange(1, 400),
            share=draw.choice((0.1, 0.3, 0.7, 1.0)),
        )
        for number in range(draw.randint(0, 8))
    )
    return Plan(seed, workers=draw.randint(1, 3), orders=orders, faults=faults)


def _choice(draw: random.Random, weighted: tuple[tuple[str, int], ...]) -> str:
    names, weights = zip(*weighted, strict=True)
    chosen: str = draw.choices(names, weights)[0]
    return chosen
