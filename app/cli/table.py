"""`faust -A app table NAME [KEY]`: what a table holds, its rows too, from whichever worker has it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from faust.cli import argument, option

from app.cli.errors import CommandError, ExitStatus
from app.cli.http import worker_command
from app.cli.output import print_fields, print_incomplete, print_list

if TYPE_CHECKING:
    from app.cli.http import WorkerClient
    from app.cli.output import CommandOutput

FILTERS: Final = ("state", "open", "kind")
MAX_PAGES: Final = 20
"""Of one command: where a filter leaves little, each page has looked at 1,000 records of every partition."""
PAGE_ITEMS: Final = 200
MAX_VALUE_CHARS: Final = 100
"""Of a record in a list."""


@worker_command(
    argument("name"),
    argument("key", required=False, default=""),
    option(
        "--where", "filters", multiple=True,
        help="state=PENDING, open=true (not ended), kind=row (or record); several may be given.",
    ),
    option("--limit", default=20, help="At most so many."),
    option("--after", default="", help="What the page before ended with."),
    option("--personal", is_flag=True, help="Contact and address too, of the order KEY; it is logged."),
    watched=True,
    examples=(
        "table orders order_01ARZ3NDEKTSV4RRFFQ69G5FAV", "table orders --where state=PENDING --limit 5",
        "table payments --where open=true --json", "table analytics day/ --where kind=row",
    ),
)  # fmt: skip
async def table(
    worker: WorkerClient,
    out: CommandOutput,
    name: str,
    key: str,
    filters: tuple[str, ...],
    **options: Any,
) -> None:
    """Show records and rows of a table, by their KEY or how it begins; tables are listed by `tables`."""
    query = {"key": key, **_read_filters(filters)}
    if options["personal"]:
        query["personal"] = "true"
    path = f"/api/ops/tables/{quote(name, safe='')}"

    async def ask() -> Any:
        return await _pages(worker, path, query, options["limit"], options["after"])

    await out.show(ask, _show)


def _read_filters(filters: tuple[str, ...]) -> dict[str, str]:
    """Raises CommandError for one that there is not."""
    found = {}
    for each in filters:
        name, sign, value = each.partition("=")
        if name not in FILTERS or not sign:
            accepted = ", ".join(f"{known}=..." for known in FILTERS)
            raise CommandError(f"--where {each}: accepted: {accepted}", ExitStatus.UNTOLD)
        found[name] = value
    return found


async def _pages(
    worker: WorkerClient, path: str, query: dict[str, str], limit: int, after: str
) -> dict[str, Any]:
    """As many items as are wanted, if so many are found in MAX_PAGES."""
    items: list[Any] = []
    looked_at, missing = 0, set[int]()
    for _ in range(MAX_PAGES):
        asked = {**query, "limit": str(min(limit - len(items), PAGE_ITEMS))}
        page = await worker.get(
            path, {name: text for name, text in {**asked, "after": after}.items() if text}
        )
        items += page["items"]
        looked_at += page["lookedAt"]
        missing.update(page["incomplete"])
        after = page.get("next", "")
        if not after or len(items) >= limit:
            break
    more = {"next": after} if after else {}
    return {"items": items, "lookedAt": looked_at, **more, "incomplete": sorted(missing)}


def _show(found: dict[str, Any]) -> None:
    items = found["items"]
    if len(items) == 1:
        print_fields(items[0]["key"], items[0])
    else:
        rows = [
            (
                each["key"], each["partition"], each["kind"], ", ".join(each["statuses"]),
                each.get("version"), "ended" if each.get("hasEnded") else "", each.get("quarantine"),
                _cut(json.dumps(each.get("value"))),
            )
            for each in items
        ]  # fmt: skip
        columns = ("key", "partition", "kind", "state", "version", "", "quarantine", "value")
        print_list(columns, rows)
    more = f" There may be more: --after {found['next']}" if "next" in found else ""
    print_list((), (), f"{len(items)} found, {found['lookedAt']} looked at.{more}")
    print_incomplete(found)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}…"
