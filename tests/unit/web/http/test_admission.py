"""Admission control against a simulated worker: what is taken stays fast, and little capacity is wasted."""

from __future__ import annotations

import heapq
import itertools
import random
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from statistics import quantiles

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from web.http.admission import MAX_STRIPE_WAIT_S, Admission, WorkClass
from web.http.problems import ProblemError

EMPTY_S = 0.012
"""What Kafka and the disk take for a command, whatever the load."""
COMMAND_S, AFTERWARDS_S = 0.010, 0.025
"""Of the one core: deciding a command; and what follows it, such as messages, rows and indexes."""
CARRIED_PER_S = 1 / (2 * (COMMAND_S + AFTERWARDS_S))


@dataclass
class Worker:
    """One core that does everything in the order in which it came; orders that are created are confirmed."""

    rate_per_s: float
    seed: int = 1
    speed: float = 1.0
    now_s: float = 0.0
    free_s: float = 0.0
    paid: int = 0
    took_s: dict[WorkClass, list[float]] = field(
        default_factory=lambda: {work: [] for work in WorkClass}
    )
    refused: dict[WorkClass, int] = field(default_factory=lambda: dict.fromkeys(WorkClass, 0))
    retry_after_s: set[int | None] = field(default_factory=set)
    admission: Admission = field(init=False)

    def __post_init__(self) -> None:
        self.admission = Admission(max_delay_s=0.2, now_s=lambda: self.now_s)
        self.chance = random.Random(self.seed)
        self.events: list[tuple[float, int, str, float, ExitStack | None]] = []
        self.numbers = itertools.count()

    def push(
        self, at_s: float, what: str, began_s: float = 0.0, stack: ExitStack | None = None
    ) -> None:
        heapq.heappush(self.events, (at_s, next(self.numbers), what, began_s, stack))

    def compute(self, cost_s: float) -> float:
        """When the core has done this too."""
        self.free_s = max(self.now_s, self.free_s) + cost_s / self.speed
        return self.free_s

    def run(self, seconds: float, *, counted_from_s: float = 0.0) -> None:
        until_s = self.now_s + seconds
        self.push(self.now_s, "customer")
        while self.events and self.events[0][0] < until_s:
            at_s, _, what, began_s, stack = heapq.heappop(self.events)
            self.now_s = at_s
            if what == "customer":
                self.push(at_s + self.chance.expovariate(self.rate_per_s), "customer")
                self.ask(WorkClass.NEW_ORDER)
            elif what == "confirm":
                self.ask(WorkClass.CONFIRM)
            elif stack is not None:
                stack.close()
                work = WorkClass(what)
                if at_s >= counted_from_s:
                    self.took_s[work].append(at_s - began_s)
                    self.paid += work is WorkClass.CONFIRM
                self.compute(AFTERWARDS_S)
                if work is WorkClass.NEW_ORDER:
                    self.push(at_s + 0.1, "confirm")

    def ask(self, work: WorkClass) -> None:
        try:
            self.admission.admit(work)
        except ProblemError as problem:
            self.retry_after_s.add(problem.retry_after_s)
            self.refused[work] += 1
            return
        stack = ExitStack()
        stack.enter_context(self.admission.deciding())
        self.push(self.compute(COMMAND_S) + EMPTY_S, work, self.now_s, stack)


def p99(took_s: list[float]) -> float:
    return quantiles(took_s, n=100, method="inclusive")[98]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("share", "accepted"), [(0.1, 0.0), (0.5, 0.01)])
def test_a_worker_that_is_not_loaded_refuses_next_to_nothing(
    seed: int, share: float, accepted: float
) -> None:
    worker = Worker(share * CARRIED_PER_S, seed)
    worker.run(300)
    asked = worker.admission.admitted[WorkClass.NEW_ORDER] + worker.refused[WorkClass.NEW_ORDER]
    assert worker.refused[WorkClass.NEW_ORDER] <= accepted * asked
    assert worker.refused[WorkClass.CONFIRM] == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("times", [1.2, 2, 5])
def test_under_overload_what_is_taken_stays_fast_and_nearly_all_that_can_be_done_is_done(
    seed: int, times: float
) -> None:
    calm = Worker(0.1 * CARRIED_PER_S, seed)
    calm.run(300)
    worker = Worker(times * CARRIED_PER_S, seed)
    worker.run(300, counted_from_s=30)
    assert worker.retry_after_s <= set(range(1, 11))
    assert worker.paid / 270 > 0.8 * CARRIED_PER_S
    # The simulated core takes up to 25 ms at a time, so a burst of two or three is twice the calm time.
    assert p99(worker.took_s[WorkClass.NEW_ORDER]) < 5 * p99(calm.took_s[WorkClass.NEW_ORDER])
    assert worker.refused[WorkClass.CONFIRM] == 0


def test_when_the_load_is_over_all_is_taken_again() -> None:
    worker = Worker(5 * CARRIED_PER_S)
    worker.run(60)
    assert worker.admission.share(WorkClass.NEW_ORDER) > 0.5
    worker.events, worker.rate_per_s = [], 0.1 * CARRIED_PER_S
    worker.admission._undecided.clear()
    worker.run(30)
    before = worker.refused[WorkClass.NEW_ORDER]
    worker.run(60)
    assert worker.refused[WorkClass.NEW_ORDER] == before


def test_a_slower_worker_takes_less_and_stays_as_fast() -> None:
    worker = Worker(CARRIED_PER_S * 0.8, seed=4)
    worker.run(60)
    worker.speed, before = 0.4, worker.paid
    worker.run(300, counted_from_s=90)
    assert (worker.paid - before) / 300 < 0.5 * CARRIED_PER_S
    assert p99(worker.took_s[WorkClass.NEW_ORDER]) < 0.5


def test_new_orders_wait_while_stripe_would_let_them_wait_and_confirms_do_not() -> None:
    waits_s = 0.0
    admission = Admission(
        max_delay_s=0.2, stripe_wait_s=lambda: waits_s, now_s=itertools.count().__next__
    )
    for _ in range(20):
        with admission.deciding():
            pass
    admission.admit(WorkClass.NEW_ORDER)
    waits_s = 2 * MAX_STRIPE_WAIT_S
    admission.admit(WorkClass.CONFIRM)
    with pytest.raises(ProblemError, match="OVERLOADED"):
        admission.admit(WorkClass.NEW_ORDER)


def test_with_no_bound_nothing_is_refused() -> None:
    worker = Worker(5 * CARRIED_PER_S)
    worker.admission.max_delay_s = 0
    worker.run(60)
    assert sum(worker.refused.values()) == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(["admit", "begin", "end", "fail"]), st.floats(0, 20)), max_size=60
    )
)
@settings(deadline=None, max_examples=200)
def test_whatever_happens_shares_are_shares_and_every_request_is_counted(
    steps: list[tuple[str, float]],
) -> None:
    now_s, asked, open_ = 0.0, 0, []
    admission = Admission(max_delay_s=0.2, now_s=lambda: now_s)
    for step, pause_s in steps:
        now_s += pause_s
        if step == "admit":
            asked += 1
            with suppress(ProblemError):
                admission.admit(WorkClass.NEW_ORDER)
        elif step == "begin":
            stack = ExitStack()
            stack.enter_context(admission.deciding())
            open_.append(stack)
        elif open_ and step == "end":
            open_.pop(0).close()
        elif open_:
            with suppress(TimeoutError), open_.pop(0):
                raise TimeoutError
        assert all(0 <= admission.share(work) <= 1 for work in WorkClass)
        assert admission.share(WorkClass.CONFIRM) <= admission.share(WorkClass.NEW_ORDER)
        assert admission.delay_s >= 0
    assert admission.admitted.total() + admission.refused.total() == asked
