"""What our commands print is what is stored, whoever wrote it; and what a shell completes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import click
import pytest

from app.cli import dead_letters, output, platform, rebuild_proof, table
from app.cli import notifications as cli_notifications
from app.cli import orders as cli_orders
from app.cli.completion import script
from app.cli.rebuild import RebuildResult
from models.rebuild import Fault, StateDifference

HOSTILE = [
    "[/x]", "[bold]", "[red]x[/red]", ":cat:", "[link=x]y[/link]",
    "\x1b[2J", "\x9b31m", "\u202eevil", "a\rb", "\x07",
]  # fmt: skip


def order(text: str) -> None:
    found = {"contact": {"name": text, text: "x"}, "items": [{"name": text}]}
    output.print_fields(f"Order {text}", found)


def orders(text: str) -> None:
    row = {
        "reference": "7K3M-9QXV",
        "orderId": text,
        "status": "PENDING",
        "amount": 1,
        "currency": "INR",
        "since": "s",
    }
    cli_orders._show_orders(
        {"orders": [{**row, "restaurantId": text}], "total": 1, "incomplete": []}
    )


def letters(text: str) -> None:
    row = {"deadLetterId": "n", "state": "OPEN", "key": text, "error": text, "message": text}
    row |= {"diedAt": "t"}
    dead_letters._print_list({"deadLetters": [{**row, "deaths": 1}], "total": 1, "leftOut": 0})


def acts(text: str) -> None:
    step = {"deadLetterId": text, "events": [text], "message": text, "error": text}
    dead_letters._print_act({"steps": [step], "dryRun": True, "quarantined": True, "stopped": text})


def notifications(text: str) -> None:
    row = {"notificationId": text, "orderId": text, "occurredAt": "t", "eventType": text}
    row |= {"channel": "SMS", "status": "FAILED", "code": text, "reason": text}
    cli_notifications._print_list(
        {"notifications": [{**row, "tries": 1}], "total": 1, "incomplete": [], "next": "x"}
    )


def proof(text: str) -> None:
    rebuild_proof._print(
        RebuildResult(
            differences=[StateDifference(text, "orders", Fault.CONTENT, None, None)],
            details={("orders", text): [text]},
            unreadable=[text],
        )
    )


def failure(text: str) -> None:
    output.print_error(f"x: {text}")


def stored(text: str) -> None:
    item = {"key": text, "partition": 0, "kind": "record", "statuses": [text], "value": {}}
    table._show({"items": [item, item], "lookedAt": 2, "incomplete": []})


def timeline(text: str) -> None:
    entry = {
        "tMs": 1,
        "occurredAt": "t",
        "service": "orders",
        "eventType": text,
        "detail": {"by": text},
    }
    cli_orders._show_timeline({"entries": [{**entry, "eventId": "e"}], "broken": [text]})


def stop(text: str) -> None:
    place = {"topic": text, "partition": 0, "offset": 1, "since": "t", "error": text}
    platform._show_lag(
        {"services": [], "partitions": [], "total": 0, "stopped": [place], "incomplete": []}
    )


@pytest.mark.parametrize(
    "show", [order, orders, letters, acts, notifications, proof, failure, stored, timeline, stop]
)
@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_printed_as_it_is(
    show: Callable[[str], None], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show(text)
    printed = "".join(capsys.readouterr())
    assert not any(char in printed for char in "\x1b\x9b\u202e\r\x07")
    if text.isprintable() and "\u202e" not in text:
        assert text in printed
    else:
        assert "\\x" in printed or "\\u202e" in printed


def test_a_shell_completes_commands_their_options_and_arguments() -> None:
    group = click.Group("faust", params=[click.Option(["--app"])])
    action = click.Argument(["action"], type=click.Choice(["list", "redrive"]))
    group.add_command(click.Command("dead-letters", params=[action, click.Option(["--reason"])]))
    group.add_command(click.Command("orders"))
    for typed, wanted in (("", "--app --help dead-letters orders"), ("o", "orders")):
        assert completed(script(group, "bash"), "-A", "app", typed) == wanted
    assert completed(script(group, "bash"), "dead-letters", "red") == "redrive"
    assert script(group, "zsh").startswith("autoload")


def completed(text: str, *words: str) -> str:
    bash: Any = shutil.which("bash")
    line = " ".join(f"'{word}'" for word in ("faust", *words))
    asked = f'COMP_WORDS=({line}); COMP_CWORD={len(words)}; _faust_words; printf "%s\\n" "${{COMPREPLY[@]}}"'
    told = subprocess.run(
        [bash, "-c", f"{text}\n{asked}"], capture_output=True, text=True, timeout=60, check=True
    )
    return " ".join(sorted(told.stdout.split()))
