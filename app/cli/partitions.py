"""`faust -A app partitions show | raise | abandon`: more partitions, on a platform that goes on."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click
from faust.cli import argument, option

from app.cli.command import command, settings
from app.cli.errors import CommandError, ExitStatus
from app.cli.http import JSON_OPTION
from app.cli.output import console, print_json, print_list
from models.wording import counted

if TYPE_CHECKING:
    from app.partitions.raising import PartitionRaise, Raised, Told
    from models.generations import PartitionsState


@command(
    argument("what", type=click.Choice(["show", "raise", "abandon"]), default="show"),
    argument("count", type=click.IntRange(1, 1000), required=False),
    option("--dry-run", is_flag=True, help="raise: say what would be copied, and change nothing."),
    option("--yes", "is_sure", is_flag=True, help="raise, abandon: do not ask."),
    JSON_OPTION,
    examples=(
        "partitions show",
        "partitions raise 12 --dry-run",
        "partitions raise 12 --yes --json",
        "partitions abandon",
    ),
)
async def partitions(
    what: str, count: int | None, dry_run: bool, is_sure: bool, as_json: bool
) -> None:
    """Show how many partitions there are; raise: have more; abandon: undo a raise before it serves.

    `raise` copies all topics and tables into new ones while the platform goes on, then pauses writes for some
    seconds and has the workers go over. Ctrl-C, or whatever else ends it, loses nothing: run it again.
    """
    if what == "raise" and count is None:
        raise CommandError("How many? For example: partitions raise 12", ExitStatus.UNTOLD)
    from aiokafka.errors import KafkaError  # noqa: PLC0415 -- --help needs no Kafka
    from confluent_kafka import KafkaException  # noqa: PLC0415

    from app.kafka.topics import TopicsError  # noqa: PLC0415
    from app.partitions.raising import CopyError, RaiseError  # noqa: PLC0415
    from models.errors import KafkaUnavailableError  # noqa: PLC0415

    try:
        if what == "show":
            await _show(as_json)
        elif what == "abandon":
            await _abandon(is_sure, as_json)
        else:
            await _raise(count or 0, dry_run, is_sure, as_json)
    except (RaiseError, TopicsError) as error:
        raise CommandError(str(error)) from None
    except CopyError as error:
        told = f"{error}. Undo it with `partitions abandon`, then raise anew."
        raise CommandError(told) from None
    except (KafkaError, KafkaException, KafkaUnavailableError, TimeoutError, OSError) as error:
        why = f"{type(error).__name__} {error}".strip()
        told = f"Kafka did not do it: {why}. Nothing is lost: run it again."
        raise CommandError(told, ExitStatus.UNAVAILABLE) from None


async def _show(as_json: bool) -> None:
    from app.partitions.state import read_states, serving, under_way  # noqa: PLC0415

    found = settings()
    states = await asyncio.to_thread(read_states, found)
    now, way = serving(states, found.partitions), under_way(states)
    if as_json:
        made = (
            {"generation": way.generation, "partitions": way.partitions, "state": way.state}
            if way
            else None
        )
        print_json(
            {"generation": now.number, "partitions": now.partitions, "underWay": made,
             "history": [_told(each) for each in states]}
        )  # fmt: skip
        return
    rows = [(s.at, s.generation, s.partitions, s.state) for s in states]
    going = (
        f"A raise to {way.partitions} is {way.state}: `partitions raise {way.partitions}` goes on, "
        "`partitions abandon` undoes it."
        if way
        else ""
    )
    number = counted(now.partitions, "partition", "partitions")
    print_list(
        ("when", "generation", "partitions", "state"),
        rows,
        f"{number}, generation {now.number}.",
        going,
    )


def _told(state: PartitionsState) -> dict[str, Any]:
    return {
        "at": state.at,
        "generation": state.generation,
        "partitions": state.partitions,
        "state": state.state,
    }


async def _abandon(is_sure: bool, as_json: bool) -> None:
    from app.partitions.raising import PartitionRaise  # noqa: PLC0415

    _ask("Delete all that was copied?", is_sure)
    async with PartitionRaise(settings()) as run:
        gone = await run.abandon()
    if as_json:
        print_json({"abandoned": gone.number, "partitions": gone.partitions})
    else:
        console().print(f"Undone: nothing is left of generation {gone.number}.")


async def _raise(count: int, dry_run: bool, is_sure: bool, as_json: bool) -> None:
    from app.partitions.raising import PartitionRaise  # noqa: PLC0415
    from app.partitions.sizes import rows_to_copy  # noqa: PLC0415

    found = settings()
    if dry_run:
        rows = await asyncio.to_thread(rows_to_copy, found, count)
        if as_json:
            print_json({"partitions": count, "rows": rows})
        else:
            print_list(
                ("topic", "rows"),
                rows.items(),
                f"{counted(sum(rows.values()), 'row', 'rows')} would be copied.",
            )
        return
    _ask(
        f"Copy all topics and tables into new ones (partitions: {count}), and go over to them? Consumers "
        "outside must follow (docs/how-to/partitions.md).",
        is_sure,
    )
    async with PartitionRaise(found) as run:
        raised = await _with_progress(run, count)
    if as_json:
        print_json(
            {"from": raised.old.partitions, "to": raised.new.partitions, "generation": raised.new.number,
             "rows": raised.copied, "leftOut": raised.left_out, "switchedS": round(raised.switched_s, 2),
             "pausedS": None if raised.paused_s is None else round(raised.paused_s, 2)}
        )  # fmt: skip
        return
    console().print(
        f"{raised.new.count} (generation {raised.new.number}); "
        f"{counted(raised.copied, 'row', 'rows')} copied in this run, {raised.left_out} left out; new topics "
        f"served {raised.switched_s:.1f} s after writes were paused."
    )
    if raised.paused_s is None:
        raise CommandError(
            "The workers have not opened all partitions yet: see `faust -A app workers`."
        )
    console().print(f"All partitions were open after {raised.paused_s:.1f} s.")


async def _with_progress(run: PartitionRaise, count: int) -> Raised:
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console(stderr=True)) as progress:
        task = progress.add_task("starting", total=None)

        def tell(told: Told) -> None:
            if told.rows:
                progress.advance(task, told.rows)
            else:
                progress.reset(task, description=told.phase, total=told.left)

        run.tell = tell
        return await run.run(count)


def _ask(question: str, is_sure: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise CommandError("Say --yes: there is nobody to ask.", ExitStatus.UNTOLD)
    if not click.confirm(question):
        raise CommandError("Nothing was done.")
