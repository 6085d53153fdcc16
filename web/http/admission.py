"""Which new orders and confirms this worker takes on, so that those it takes stay fast under any load.

What is measured is how long a command waits until it is decided and durable: from sending it to Kafka until
its outcome can be read, with no call of Stripe in between. Beyond its least, that is time in our own queues.
Each kind of work is refused with a probability that a controller moves so that this delay stays near a
target: PIE, RFC 8033 (4.2 the controller, 4.4.1 bursts, 5.4 without chance), whose updates are made when
somebody asks. Confirms have a longer target than new orders, so new orders are refused first; nothing else is
ever refused here. An order whose payment would wait for this worker's share of Stripe's rate is refused too.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import Final

from web.http.problems import ProblemError

UPDATE_S: Final = 0.05
"""How often the refused share is moved."""
PROPORTION: Final = 0.1
DAMPING: Final = 1.25
"""RFC 8033's alpha and beta, by seconds of delay; alpha is smaller, for an order makes work for long."""
MAX_STEP: Final = 0.02
"""Of one update: what was taken on makes work for a second, so its effect is seen late."""
DECAY: Final = 0.98
"""Of the refused share with each update without a delay."""
MAX_UPDATES: Final = 100
"""Made up for after a silence; the share has long decayed by then."""
SMALL_SHARE: Final = 0.2
"""Up to it nothing is refused while the delay is below half of its target."""
BASE_KEPT_S: Final = 300.0
"""How long the least delay counts at most; twice that at least none older."""
MIN_TARGET_S: Final = 0.02
MIN_DECIDED: Final = 20
"""Commands after which the least delay is known well enough; the first ones of a process are slow."""
TARGET_FACTOR: Final = 3.0
"""A delay of so many times of what a command takes with empty queues."""
CONFIRM_FACTOR: Final = 25.0
"""An order that is half way may wait so much longer than a new one."""
BURST_FACTOR: Final = 1.0
"""Whose oldest command waits for longer than so many targets has a burst to work off first."""
MAX_STRIPE_WAIT_S: Final = 1.0
MAX_RETRY_AFTER_S: Final = 10


class WorkClass(StrEnum):
    """What may be refused; new orders first."""

    NEW_ORDER = "NEW_ORDER"
    CONFIRM = "CONFIRM"


@dataclass(slots=True)
class RefusalController:
    """The share of one kind of work that is refused: a PIE controller. Times in seconds."""

    share: float = 0.0
    _delay_s: float = 0.0
    _due: float = 0.0

    def update(self, delay_s: float, target_s: float) -> None:
        """Move the share, once each `UPDATE_S`."""
        if delay_s == 0 and self._delay_s == 0:
            self.share *= DECAY
        else:
            error, change = delay_s - target_s, delay_s - self._delay_s
            # In multiples of the target: the same whether Kafka answers within 5 or within 50 ms.
            step = (PROPORTION * error + DAMPING * change) * MIN_TARGET_S / target_s
            self.share = min(1.0, max(0.0, self.share + max(-MAX_STEP, min(step, MAX_STEP))))
        self._delay_s = delay_s

    def refuses(self, target_s: float) -> bool:
        """Whether the next one is refused: of each ten so many as the share says, evenly spread."""
        if self.share < SMALL_SHARE and self._delay_s < target_s / 2:
            return False
        self._due += self.share
        if self._due < 1:
            return False
        self._due -= 1
        return True


@dataclass(slots=True)
class LeastDelay:
    """The least delay of late, in seconds: what a command takes with empty queues."""

    noted: int = 0
    _least_s: float = float("inf")
    _before_s: float = float("inf")
    _since_s: float = 0.0

    def note(self, delay_s: float, now_s: float) -> None:
        """A command has taken so long."""
        self.noted += 1
        if now_s - self._since_s > BASE_KEPT_S:
            self._before_s, self._least_s, self._since_s = self._least_s, delay_s, now_s
        self._least_s = min(self._least_s, delay_s)

    @property
    def least_s(self) -> float:
        """0 before the first one."""
        least = min(self._least_s, self._before_s)
        return least if least != float("inf") else 0.0


@dataclass(slots=True)
class Admission:
    """Decides, for one worker and one event loop, what is taken on.

    max_delay_s: the longest target, however slow Kafka is; 0 refuses nothing.
    stripe_wait_s: how long a new payment intent would wait for its turn at Stripe.
    """

    max_delay_s: float = 0.0
    stripe_wait_s: Callable[[], float] = lambda: 0.0
    now_s: Callable[[], float] = time.monotonic
    admitted: Counter[WorkClass] = field(default_factory=Counter)
    refused: Counter[WorkClass] = field(default_factory=Counter)
    _controllers: dict[WorkClass, RefusalController] = field(init=False)
    _least: LeastDelay = field(default_factory=LeastDelay)
    _undecided: dict[int, float] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
    _decided_s: list[float] = field(default_factory=list)
    _latest_s: float = 0.0
    _updated_s: float = 0.0

    def __post_init__(self) -> None:
        self._controllers = {work: RefusalController() for work in WorkClass}
        self._updated_s = self.now_s()

    def admit(self, work: WorkClass) -> None:
        """Take on one piece of work. Raises ProblemError (503, with Retry-After)."""
        if self._is_refused(work):
            self.refused[work] += 1
            raise ProblemError(
                "OVERLOADED", "Send the same again, with the same key: an earlier try may still be under way.",
                retry_after_s=1 + round((MAX_RETRY_AFTER_S - 1) * self.share(work)),
            )  # fmt: skip
        self.admitted[work] += 1

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """Measure how long a command takes until it is decided and durable."""
        number, began_s = next(self._numbers), self.now_s()
        self._update()
        self._undecided[number] = began_s
        try:
            yield
        finally:
            del self._undecided[number]
        # One that was cut off says nothing; how long it waited is known by then.
        self._decided_s.append(self.now_s() - began_s)
        self._least.note(self._decided_s[-1], self.now_s())

    def share(self, work: WorkClass) -> float:
        """Which share of this work is refused now."""
        self._update()
        return self._controllers[work].share

    @property
    def delay_s(self) -> float:
        """How long commands wait in our queues."""
        self._update()
        return max(0.0, self._latest_s - self._least.least_s)

    def target_s(self, work: WorkClass) -> float:
        """Which delay is aimed at: a multiple of what a command takes at least, within bounds."""
        target_s = max(MIN_TARGET_S, min(TARGET_FACTOR * self._least.least_s, self.max_delay_s))
        return target_s * (CONFIRM_FACTOR if work is WorkClass.CONFIRM else 1)

    def _is_refused(self, work: WorkClass) -> bool:
        if not self.max_delay_s:
            return False
        if work is WorkClass.NEW_ORDER and self.stripe_wait_s() > MAX_STRIPE_WAIT_S:
            return True
        if self._least.noted < MIN_DECIDED:
            return False
        self._update()
        waits_s = self._oldest_s(self.now_s()) - self._least.least_s
        if waits_s > BURST_FACTOR * self.target_s(work):
            return True
        return self._controllers[work].refuses(self.target_s(work))

    def _update(self) -> None:
        """Make up for the updates that are due; silence counts as no delay."""
        now_s = self.now_s()
        due = int((now_s - self._updated_s) / UPDATE_S)
        if not due:
            return
        self._updated_s = now_s if due > MAX_UPDATES else self._updated_s + due * UPDATE_S
        for _ in range(min(due, MAX_UPDATES)):
            self._latest_s = self._measured(now_s)
            delay_s = max(0.0, self._latest_s - self._least.least_s)
            for work, controller in self._controllers.items():
                controller.update(delay_s, self.target_s(work))
            # The longer target lets the share fall more slowly as well; new orders come last all the same.
            new, confirms = (
                self._controllers[work] for work in (WorkClass.NEW_ORDER, WorkClass.CONFIRM)
            )
            confirms.share = min(confirms.share, new.share)

    def _measured(self, now_s: float) -> float:
        """The mean of what was decided since the last update, or how long the oldest waits by now."""
        oldest_s = self._oldest_s(now_s)
        decided_s, self._decided_s = self._decided_s, []
        if decided_s:
            return max(sum(decided_s) / len(decided_s), oldest_s)
        return max(self._latest_s, oldest_s) if self._undecided else 0.0

    def _oldest_s(self, now_s: float) -> float:
        """How long the oldest undecided command waits by now."""
        return now_s - next(iter(self._undecided.values())) if self._undecided else 0.0
