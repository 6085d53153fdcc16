"""The command line of the simulation."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import Counter

from tests.simulation import runs
from tests.simulation.plan import make_plan
from tests.simulation.violations import VIOLATIONS


def main() -> None:
    """Run what was asked for; the status is 1 where something was found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Runs histories of the platform in one process, each made of its seed, and judges them.",
    )
    parser.add_argument("--seed", type=int, help="one history, told line by line")
    parser.add_argument("--orders", help="only these of its orders: numbers, or none")
    parser.add_argument("--faults", help="only these of its faults: numbers, or none")
    parser.add_argument("--seeds", default="0-199", help="many histories: from-to, both included")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--violation", help="make it worse by this seeded violation")
    parser.add_argument("--violations", help="check that each of these is seen: names with commas")
    parser.add_argument("--list-violations", action="store_true", help="their names")
    parser.add_argument("--quiet", action="store_true", help="of one history, its end alone")
    parser.add_argument("--as-is", action="store_true", help="do not make what fails smaller")
    parser.add_argument("--digests", action="store_true", help="tell the digest of each history")
    given = parser.parse_args()
    if given.list_violations:
        print("\n".join(VIOLATIONS))
    elif given.violations:
        sys.exit(_all_seen(given.violations.split(",")))
    elif given.seed is not None:
        sys.exit(_one(given))
    else:
        first, last = map(int, given.seeds.split("-"))
        jobs = max(1, min(given.jobs, last - first + 1))
        sys.exit(_many(given, first, last) if jobs == 1 else _in_parallel(given, first, last, jobs))


def _numbers(text: str | None) -> frozenset[int] | None:
    if text is None:
        return None
    return frozenset() if text == "none" else frozenset(map(int, text.split(",")))


def _change(given: argparse.Namespace) -> runs.Change | None:
    return VIOLATIONS[given.violation].change if given.violation else None


def _one(given: argparse.Namespace) -> int:
    plan = make_plan(given.seed).only(_numbers(given.orders), _numbers(given.faults))
    for each in (*plan.orders, *plan.faults):
        print(each)
    result = runs.run(plan, _change(given))
    if not given.quiet:
        print("\n".join(result.lines))
    print(f"digest {result.digest} {result.facts}")
    print("\n".join(result.found) or "nothing was found")
    return 1 if result.found else 0


def _many(given: argparse.Namespace, first: int, last: int) -> int:
    change, failed, facts = _change(given), 0, Counter[str]()
    for seed in range(first, last + 1):
        result = runs.run(make_plan(seed), change)
        facts.update(result.facts)
        if given.digests:
            print(f"{seed} {result.digest}", flush=True)
        if result.found:
            failed += 1
            if not given.as_is:
                result = runs.shrink(result, change)
            print(f"\nseed {seed} fails; made smaller: {result.command()}", flush=True)
            print("\n".join(f"    {line}" for line in result.found[:20]), flush=True)
    told = ", ".join(f"{count:,} {name}" for name, count in sorted(facts.items()))
    print(f"seeds {first} to {last}: {failed} failed ({told})", flush=True)
    return 1 if failed else 0


def _in_parallel(given: argparse.Namespace, first: int, last: int, jobs: int) -> int:
    """Each job has its part of the seeds."""
    share = -(-(last - first + 1) // jobs)
    running = []
    for begin in range(first, last + 1, share):
        end = min(last, begin + share - 1)
        command = [
            sys.executable,
            "-m",
            "tests.simulation",
            "--seeds",
            f"{begin}-{end}",
            "--jobs",
            "1",
        ]
        command += ["--as-is"] if given.as_is else []
        command += ["--digests"] if given.digests else []
        command += ["--violation", given.violation] if given.violation else []
        running.append(subprocess.Popen(command))
    return max(process.wait() for process in running)


def _all_seen(names: list[str]) -> int:
    """Whether each violation is seen within its number of seeds."""
    missed = 0
    for name in names:
        violation = VIOLATIONS[name]
        for seed in range(violation.within):
            found = runs.run(make_plan(seed, violation.kinds), violation.change).found
            if found:
                print(f"{name}: seen at seed {seed}: {found[0]}", flush=True)
                break
        else:
            missed += 1
            print(f"{name}: NOT seen in {violation.within} seeds", flush=True)
    return 1 if missed else 0
