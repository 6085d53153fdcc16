"""`make bench`: every part after the other, each of which writes its part of docs/performance.md."""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

import click

from bench import (
    crashes,
    engine,
    growth,
    killed_orders,
    more_partitions,
    overload,
    platform,
    reads,
    recovery,
    start,
)
from bench.report import console


class Part(NamedTuple):
    """One part. short: options of a quick look, which writes nothing. minutes: about, on two cores."""

    command: click.Command
    short: dict[str, Any]
    minutes: float
    short_minutes: float


PARTS: Final = (
    Part(engine.main, {"records": 60_000, "turns": 1}, 15, 4),
    Part(crashes.main, {"records": 4_000}, 6, 4),
    Part(killed_orders.main, {"seconds": 20.0}, 6, 4),
    Part(platform.main, {"seconds": 10.0, "warm_up": 5.0}, 2, 1),
    Part(reads.main, {"requests": 300, "turns": 2}, 2, 1),
    Part(start.main, {"turns": 1}, 3, 1.5),
    Part(recovery.main, {"rows": 60_000, "turns": 1}, 1, 0.5),
    Part(overload.main, {"seconds": 8.0}, 3, 1),
    Part(growth.main, {"counts": (0, 1_000), "seconds": 5.0}, 6, 2),
    Part(more_partitions.main, {"counts": (1_000,)}, 5, 2),
)


@click.group(help=__doc__, invoke_without_command=True)
@click.option("--short", is_flag=True, help="A quick look at each part; writes nothing.")
@click.pass_context
def main(context: click.Context, short: bool) -> None:  # noqa: FBT001 -- click gives options by name
    """Run all parts unless one is named."""
    if context.invoked_subcommand:
        return
    began = time.monotonic()
    for number, part in enumerate(PARTS):
        left = sum(each.short_minutes if short else each.minutes for each in PARTS[number:])
        done = f"{(time.monotonic() - began) / 60:.0f} min done, about {left:.0f} left"
        console.print(f"\n== {number + 1} of {len(PARTS)}: {part.command.name} ({done})")
        options = part.short if short else {"write": True}
        context.invoke(part.command, **options)


for each in PARTS:
    main.add_command(each.command)

if __name__ == "__main__":
    main()
