"""Runs seeds: a history each, judged; one that fails is made smaller while it fails in the same way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from faust.types import TP

from models.stuck import waiting
from models.topics import TOPICS
from tests.simulation.checker import Evidence, check
from tests.simulation.plan import Plan, make_plan
from tests.simulation.virtual_time import StuckError
from tests.simulation.world import World

Change = Callable[[World], AbstractContextManager[None]]
"""Makes a world worse; what it changes it takes back."""


@dataclass(frozen=True, slots=True)
class Result:
    """Of one history. digest: of all that happened. found: what the checker found."""

    plan: Plan
    digest: str
    found: tuple[str, ...]
    lines: tuple[str, ...]
    facts: dict[str, int]

    def command(self) -> str:
        """What replays it."""
        parts = [f"python -m tests.simulation --seed {self.plan.seed}"]
        whole = make_plan(self.plan.seed)
        for name, mine, all_ in (
            ("orders", self.plan.orders, whole.orders), ("faults", self.plan.faults, whole.faults),
        ):  # fmt: skip
            if len(mine) < len(all_):
                numbers = ",".join(str(each.number) for each in mine)
                parts.append(f"--{name} {numbers or 'none'}")
        return " ".join(parts)


def run(plan: Plan, change: Change | None = None) -> Result:
    """Let a plan happen, and judge it."""
    world = World(plan)
    with change(world) if change else nullcontext():
        try:
            world.run()
        except StuckError as stuck:
            world.history.wrong.append(str(stuck))
    found = check(evidence_of(world))
    facts = {
        "orders": len(plan.orders), "faults": len(plan.faults), "letters": len(world.mail.letters),
        "answers": len(world.history.answers), "exits": len(world.history.exits),
        "steps": world.loop.steps, "seconds": int(world.loop.now_s),
    }  # fmt: skip
    return Result(plan, world.history.digest(), tuple(found), tuple(world.history.lines), facts)


def evidence_of(world: World) -> Evidence:
    """What a history left behind, without a look at how it came about."""
    services: Any = None
    databases = {}
    waits: dict[str, list[str]] = {}
    now_ms = world.cluster.now_ms()
    for _, worker in world.alive():
        if worker.runtime is None:
            continue
        services = worker.runtime._services
        for hosted, task in services.tasks():
            if task.database is not None:
                databases[hosted.name, task.partition] = task.database.values
        for order in world.orders():
            for table in worker.runtime.tables.values():
                if table.owns(order) and (record := table.get(order)) is not None:
                    waits.setdefault(order, []).extend(
                        f"{w.rule.actor}, late" if w.due_ms < now_ms else str(w.rule.actor)
                        for w in waiting(record.state)
                    )
    state = world.stripe.state
    return Evidence(
        logs={tuple(tp): log.records for tp, log in world.cluster.logs.items()},
        ends={tuple(tp): world.cluster.log(TP(*tp)).next_offset for tp in world.cluster.logs},
        databases=databases,
        committed={tuple(tp): offset for tp, (offset, _) in world.group.committed.items()},
        readers={
            topic: [each.name for each in readers]
            for topic, readers in (services.readers_by_topic.items() if services else ())
            if topic in TOPICS
        },
        dictionaries={each.name: each.service.dictionaries for each in services or ()},
        intents=list(state.payment_intents.values()), charges=list(state.charges.values()),
        refunds=list(state.refunds.values()), disputes=list(state.disputes.values()),
        letters=world.mail.letters, answers=world.history.answers, waits=waits,
        exits=world.history.exits, orders=world.orders(), wrong=world.history.wrong,
        commits=world.history.commits, stopped=world.history.stopped,
    )  # fmt: skip


def shrink(result: Result, change: Change | None = None, tries: int = 40) -> Result:
    """Leave out orders and faults, one at a time, as long as a rule that found something still does."""
    rules = {line.partition(":")[0] for line in result.found}
    orders = [each.number for each in result.plan.orders]
    faults = [each.number for each in result.plan.faults]
    is_smaller = True
    while is_smaller and tries:
        is_smaller = False
        for numbers in (faults, orders):
            for number in list(numbers):
                left = [each for each in numbers if each != number]
                chosen = (left, faults) if numbers is orders else (orders, left)
                if not tries or not chosen[0]:
                    break
                tries -= 1
                plan = result.plan.only(frozenset(chosen[0]), frozenset(chosen[1]))
                smaller = run(plan, change)
                if rules & {line.partition(":")[0] for line in smaller.found}:
                    result, is_smaller = smaller, True
                    numbers.remove(number)
    return result
