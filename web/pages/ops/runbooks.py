"""Runbooks as pages of the worker, so that whoever is woken needs no internet and no checkout to read them.

They are docs/runbooks and the documents that these lead to. Links to other documents are shown as text.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from aiohttp import web
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from web.http.problems import ProblemError
from web.http.route import AnyCall, Route
from web.ops.overview import RUNBOOKS_PATH
from web.pages.ops.lists import OPERATORS
from web.pages.render import render

_WEB: Final = Path(__file__).parent.parent.parent
FOLDERS: Final = (_WEB.parent / "docs", _WEB / "docs")
"""Where the documents are in a checkout or an image, and in an installed wheel."""
INDEX: Final = "README"
BESIDE: Final = ("operations", "stripe")
"""Documents outside of the runbooks' folder that runbooks lead to."""
_LINK: Final = re.compile(r"(?:\.\./|runbooks/)?([\w-]+)\.md(#[\w-]+)?")
_NO_SLUG: Final = re.compile(r"[^\w\- ]")


@cache
def documents() -> Mapping[str, Path]:
    """Each document that is served, by its name. Reads the folder; {} where none was installed."""
    folder = next((each for each in FOLDERS if (each / "runbooks").is_dir()), FOLDERS[0])
    beside = [path for name in BESIDE if (path := folder / f"{name}.md").is_file()]
    return {path.stem: path for path in (*sorted((folder / "runbooks").glob("*.md")), *beside)}


def address(name: str) -> str:
    """The path of a document's page."""
    return RUNBOOKS_PATH if name == INDEX else f"{RUNBOOKS_PATH}/{name}"


@cache
def page_of(name: str) -> tuple[str, Markup]:
    """A document's title and its HTML. Raises KeyError."""
    tokens = _markdown().parse(documents()[name].read_text("utf-8"))
    title = ""
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            text = "".join(child.content for child in tokens[at + 1].children or ())
            title = title or text
            token.attrSet("id", _NO_SLUG.sub("", text.lower()).replace(" ", "-"))
        _point_links(token.children or [])
    # The documents are files of ours, and HTML in them is shown as text.
    html = _markdown().renderer.render(tokens, _markdown().options, {})
    html = html.replace("<table>", '<div class="scroll"><table>').replace(
        "</table>", "</table></div>"
    )
    return title, Markup(html)  # noqa: S704


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _point_links(tokens: list[Token]) -> None:
    """Lead links to served documents to their pages; make text of links to what is not served."""
    kept: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            href = str(token.attrGet("href"))
            found = _LINK.fullmatch(href)
            is_served = bool(found and found[1] in documents())
            kept.append(is_served or href.startswith(("#", "https://")))
            if found and is_served:
                token.attrSet("href", address(found[1]) + (found[2] or ""))
        if token.type in {"link_open", "link_close"} and not (
            kept[-1] if token.type == "link_open" else kept.pop()
        ):
            token.tag, token.attrs = "span", {}


def show_index(call: AnyCall) -> web.Response:
    """All runbooks."""
    return _show(call, INDEX)


def show_runbook(call: AnyCall) -> web.Response:
    """One runbook, or a document that one leads to."""
    return _show(call, call.id_of("name"))


def _show(call: AnyCall, name: str) -> web.Response:
    if name not in documents():
        raise ProblemError("NOT_FOUND")
    title, html = page_of(name)
    return render(call.request, "ops_runbook.html", identity=call.identity, title=title, html=html,
                  is_index=name == INDEX)  # fmt: skip


ROUTES: Final = tuple(
    Route(method="GET", path=path, run=run, access=OPERATORS, is_page=True)
    for path, run in ((RUNBOOKS_PATH, show_index), (f"{RUNBOOKS_PATH}/{{name}}", show_runbook))
)
