"""The mail server: takes letters, or not, or does and its answer is lost."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import NamedTuple

from app.notifications.channels import CustomerMessage, DeferredError
from tests.simulation.virtual_time import CURRENT, SimulatedLoop

TIMEOUT_S = 3.0


class Letter(NamedTuple):
    """One that was taken. maybe_sent: the sender, a worker, knows that it may have been sent before."""

    at_s: float
    message_id: str
    order_id: str
    about: str
    maybe_sent: bool
    sender: str


@dataclass
class Mail:
    """A channel to customers. away, unanswered: shares of tries."""

    loop: SimulatedLoop
    draw: random.Random
    away: float = 0.0
    unanswered: float = 0.0

    def __post_init__(self) -> None:
        self.letters: list[Letter] = []

    async def send(self, letter: CustomerMessage, *, maybe_sent: bool) -> str | None:
        is_away, is_lost = self.draw.random() < self.away, self.draw.random() < self.unanswered
        await asyncio.sleep(self.draw.random() * 0.05)
        if is_away:
            raise DeferredError("CONNECTION")
        taken = Letter(
            self.loop.now_s, letter.notification_id, letter.order_id, letter.subject, maybe_sent,
            CURRENT.get().name,
        )  # fmt: skip
        self.letters.append(taken)
        if is_lost:
            await asyncio.sleep(TIMEOUT_S)
            raise DeferredError("TIMEOUT")
        await asyncio.sleep(self.draw.random() * 0.05)
        return None

    async def close(self) -> None:
        """There is no connection."""
