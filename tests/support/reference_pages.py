"""docs/reference, made of the tables that the code runs on; run as a module, it writes the pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from agents import services
from agents.service import topic_uses
from app.settings.example import settings_table
from models.commands import COMMANDS
from models.events import EVENTS
from models.stuck import WAIT_RULES
from tests.support.state_pictures import picture
from web.asyncapi import first_paragraph, messages_of, wire_names
from web.http.problems import CODES
from web.http.route import Key
from web.pages.api_documents import GRAPHS, allowed
from web.routes import ROUTES

FOLDER: Final = Path(__file__).parents[2] / "docs" / "reference"
COMMAND: Final = ".venv/bin/python -m tests.support.reference_pages"
MADE: Final = f"<!-- Made of the code by `{COMMAND}`; a test holds that it is up to date. -->"


def pages() -> dict[str, str]:
    """File name -> what it holds."""
    made = {
        "api.md": _page(
            "HTTP API",
            "Every worker serves all of it, whoever has the order. A worker's `/openapi.json` is the same "
            "for programs, with the fields of every body. Errors are [problems](errors.md).",
            _api(),
        ),
        "errors.md": _page(
            "Error codes",
            "An error is `application/problem+json` (RFC 9457). Its `code` is one of these and stays what it "
            "is; its `detail` is for people.",
            _errors(),
        ),
        "events.md": _page(
            "Events and commands",
            "Every record has an envelope and, in `data`, these fields. The JSON Schema says their types and "
            "bounds; [how to read them from any language](../schemas/README.md).",
            _messages(),
        ),
        "settings.md": _page(
            "Settings",
            "Variables of the environment or of a file `.env`, all checked when a worker starts: a wrong one "
            "is named. In the sandbox (`TIFFIN_SANDBOX=1`) none is needed.",
            settings_table(),
        ),
        "states.md": _page(
            "States",
            "A request for any step that is not here is refused with a reason and changes nothing.",
            _states(),
        ),
        "topics.md": _page(
            "Topics",
            "The key of a record is the order's id. `faust -A app topics` makes them. Partitions: the setting "
            "`TIFFIN_PARTITIONS`, where none is named.",
            _topics(),
        ),
    }
    pictures = {f"{name.lower()}-states.svg": picture(graph) for name, graph in GRAPHS.items()}
    return {**made, **pictures}


def _page(title: str, about: str, body: Iterable[str]) -> str:
    return "\n".join([f"# {title}", "", MADE, "", about, "", *body, ""])


def _table(heads: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |"


def _codes(names: Iterable[Any]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _api() -> Iterator[str]:
    keys = {Key.NONE: "", Key.OPTIONAL: "optional", Key.REQUIRED: "required"}
    yield from _table(
        ("request", "for", "what it does", "query", "Idempotency-Key"),
        (
            (
                f"`{route.method} {route.path}`",
                route.access.text,
                first_paragraph(route.run),
                "; ".join(
                    f"`{name}`: {about}" for name, about in route.params.descriptions().items()
                ),
                keys[route.key],
            )
            for route in ROUTES
        ),
    )


def _errors() -> Iterator[str]:
    rows = ((f"`{code}`", status, title) for code, (status, title) in CODES.items())
    yield from _table(("code", "status", "meaning"), rows)


def _messages() -> Iterator[str]:
    yield "## Events\n"
    yield from _table(
        ("type", "fields of `data`", "topics", "written by", "schema"),
        (
            (
                f"`{kind}`", _codes(wire_names(spec.data)), _codes(spec.topics),
                ", ".join(sorted(spec.producers)), f"[JSON](../schemas/events/{kind}.json)",
            )
            for kind, spec in EVENTS.items()
        ),
    )  # fmt: skip
    yield "\n## Commands\n"
    yield from _table(
        ("type", "fields of `data`", "topic", "schema"),
        (
            (
                f"`{kind}`", _codes(wire_names(spec.data)), f"`{spec.topic}`",
                f"[JSON](../schemas/commands/{kind}.json)",
            )
            for kind, spec in COMMANDS.items()
        ),
    )  # fmt: skip


def _states() -> Iterator[str]:
    for name, graph in GRAPHS.items():
        yield f"## {name}\n"
        yield f"![States of a {name.lower()}]({name.lower()}-states.svg)\n"
        yield from _table(
            ("from", "to"),
            (
                (f"`{here}`" if here else "(nothing yet)", _codes(sorted(after)) or "its end")
                for here, after in graph.items()
            ),
        )
        yield ""
    yield "## Who must act\n"
    yield "What an order may wait for, and for how long before it is listed as stuck.\n"
    yield from _table(
        ("what", "state", "ended by", "allowed", "who"),
        (
            (row.subject, f"`{row.state}`", _codes(row.expects), allowed(row.allowed_ms), row.actor)
            for row in WAIT_RULES
        ),
    )


def _topics() -> Iterator[str]:
    yield from _table(
        ("topic", "what", "kept", "partitions", "written by", "read by", "messages"),
        (
            (
                f"`{use.topic.name}`", use.topic.about, use.topic.retention, use.topic.partitions or "",
                ", ".join(use.written_by), ", ".join(use.read_by) or "anybody outside",
                _codes(messages_of(use.topic.name)),
            )
            for use in topic_uses(services())
        ),
    )  # fmt: skip


def write() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    write()
