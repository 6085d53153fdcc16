"""`faust -A app rehearse`: what this build, or a setting, would have decided otherwise."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from faust.cli import option

from app.cli.command import command, settings
from app.cli.errors import CommandError, ExitStatus
from app.cli.http import JSON_OPTION

if TYPE_CHECKING:
    from rich.progress import Progress

    from app.rehearsal.compare import KindKey
    from app.rehearsal.report import RehearsalReport
    from app.rehearsal.run import Asked

RATE: Final = 20_000
UNITS_S: Final = {"m": 60, "h": 3600, "d": 86_400}
_SINCE: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")


@command(
    option("--since", default=None, help="Only orders of so long: 90m, 24h, 7d. [default: all that Kafka has]"),
    option("--order", "orders", multiple=True, help="Only this order; may be repeated."),
    option(
        "--what-if", "what_if", multiple=True, metavar="SETTING=VALUE",
        help="Tell what a setting would have done instead: kitchen_deadline_s=480; may be repeated.",
    ),
    option(
        "--accept", default=None, type=click.Path(path_type=Path),
        help="A file of differences that are meant: they are shown, and are no failure.",
    ),
    option(
        "--write-accept", default=None, type=click.Path(path_type=Path),
        help="Write the differences that are found into such a file.",
    ),
    option(
        "--rate", default=RATE, type=click.IntRange(min=1), show_default=True,
        help="Records read in a second at most.",
    ),
    option("--with-values", is_flag=True, help="Show texts that may hold data of persons, too."),
    JSON_OPTION,
    examples=(
        "rehearse --since 24h",
        "rehearse --since 7d --json --accept meant.json",
        "rehearse --order order_01h455vb4pex5vsknk084sn02q --with-values",
        "rehearse --since 24h --what-if kitchen_deadline_s=480",
    ),
)  # fmt: skip
async def rehearse(as_json: bool, **options: Any) -> None:
    """Decide again what Kafka has of past orders, with this build and these settings; compare.

    Kafka is only read, in no consumer group. Every output is compared byte for byte with what was sent.
    Status 1: something differs that is not accepted; 2: nothing can be told. With --what-if the status is 0:
    what differs is what was asked for.
    """
    from app.rehearsal.accepted import (  # noqa: PLC0415 -- --help needs nothing of this
        AcceptFileError,
        not_accepted,
        not_found,
        read_accepted,
        write_accepted,
    )
    from app.rehearsal.report import as_json as report_json  # noqa: PLC0415

    if options["accept"] and options["what_if"]:
        raise CommandError("--accept is for a build, not for --what-if.", ExitStatus.UNTOLD)
    try:
        accepted = read_accepted(options["accept"]) if options["accept"] else {}
        report = await _run(_asked(options))
        if options["write_accept"]:
            write_accepted(options["write_accept"], report)
    except AcceptFileError as error:
        raise CommandError(str(error), ExitStatus.UNTOLD) from None
    failing, gone = not_accepted(report, accepted), not_found(report, accepted)
    with_values = options["with_values"]
    if as_json:
        from app.cli.output import print_json  # noqa: PLC0415
        from app.rehearsal.report import key_as_json  # noqa: PLC0415

        told = report_json(report, set(report.kinds) - set(failing), with_values=with_values)
        print_json({**told, "acceptedNotFound": [key_as_json(key) for key in gone]})
    else:
        from app.cli.rehearse_output import print_report  # noqa: PLC0415

        print_report(
            report, failing, gone, with_values=with_values, is_what_if=bool(options["what_if"])
        )
    _end(report, failing, is_what_if=bool(options["what_if"]))


def _end(report: RehearsalReport, failing: list[KindKey], *, is_what_if: bool) -> None:
    """Raise CommandError unless all is well."""
    from models.wording import counted  # noqa: PLC0415

    if not report.orders:
        raise CommandError(
            "Nothing can be told: no order could be decided again.", ExitStatus.UNTOLD
        )
    if failing and not is_what_if:
        kinds = counted(len(failing), "kind of difference", "kinds of differences")
        raise CommandError(f"{kinds} that no --accept file names.")


def _asked(options: dict[str, Any]) -> Asked:
    from app.rehearsal.run import Asked  # noqa: PLC0415
    from app.rehearsal.what_if import WhatIfError, changed_settings  # noqa: PLC0415
    from models.times import machine_now_ms  # noqa: PLC0415

    since_ms = 0
    if options["since"]:
        match = _SINCE.fullmatch(options["since"])
        if match is None:
            told = "--since: give a number with m, h or d, such as 90m, 24h or 7d."
            raise CommandError(told, ExitStatus.UNTOLD)
        since_ms = machine_now_ms() - int(match[1]) * UNITS_S[match[2]] * 1000
    try:
        changed = changed_settings(settings(), options["what_if"]) if options["what_if"] else None
    except WhatIfError as error:
        raise CommandError(str(error), ExitStatus.UNTOLD) from None
    return Asked(since_ms, frozenset(options["orders"]), options["rate"], changed)


async def _run(asked: Asked) -> RehearsalReport:
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    from app.cli.output import console  # noqa: PLC0415
    from app.rehearsal.run import rehearse as run  # noqa: PLC0415
    from app.rehearsal.source import SourceError  # noqa: PLC0415
    from app.settings import SettingsError  # noqa: PLC0415
    from web.catalogue import CatalogueError  # noqa: PLC0415

    stop = threading.Event()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console(stderr=True)) as shown:
        try:
            return await asyncio.to_thread(run, settings(), asked, _Bars(shown), stop.is_set)
        except SourceError as error:
            raise CommandError(f"Nothing is rehearsed: {error}.", ExitStatus.UNTOLD) from None
        except (SettingsError, CatalogueError) as error:
            raise CommandError(str(error), ExitStatus.UNTOLD) from None
        finally:
            stop.set()  # Ctrl-C: the thread ends at its next read


class _Bars:
    """A bar a part."""

    def __init__(self, shown: Progress) -> None:
        self._shown, self._task = shown, shown.add_task("Kafka", total=0, visible=False)

    def begin(self, what: str, total: int) -> None:
        self._task = self._shown.add_task(what, total=total)

    def advance(self, count: int) -> None:
        self._shown.advance(self._task, count)
