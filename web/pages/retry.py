"""Pages that try again by themselves: how often, how soon, and what a form that failed leads to.

It is the browser that asks again, told by the page's own head, so that it works without JavaScript. A
form is never sent again: its page leads to one that shows what became of it.
"""

from typing import Final

from aiohttp import web

from web.http.context import CONTEXT

COOKIE: Final = "tiffin_tries"
"""How often a page was asked for in vain; of that page's own path, so that it goes on at any worker."""
MAX_TRIES: Final = 30
"""About three minutes: within them another worker has taken over, or somebody has to look."""
FIRST_PAUSE_S: Final = 2
LONGEST_PAUSE_S: Final = 10
COOKIE_MAX_AGE_S: Final = 30
"""Longer than the pause: after it the page was left, or came."""
BOARDS: Final = ("/kitchen", "/courier")
PAGE_AFTER_FORM: Final = {"/cart": "/", "/preferences": "/", "/logout": "/login"}


def pause_s(tries: int) -> int | None:
    """When to ask for a page again that was asked for so often in vain; None: not by itself any more."""
    return min(FIRST_PAUSE_S + tries // 3, LONGEST_PAUSE_S) if tries < MAX_TRIES else None


def tries_of(request: web.Request) -> int:
    """How often this page has been asked for in vain, in a row."""
    said = request.cookies.get(COOKIE, "")
    return min(int(said), MAX_TRIES) if said.isascii() and said.isdigit() and len(said) < 4 else 0


def count_try(request: web.Request, response: web.StreamResponse, pause_s: int) -> None:
    """Count one more; forgotten when the page is not asked for again soon after the pause."""
    response.set_cookie(
        COOKIE, str(tries_of(request) + 1), path=request.path, max_age=pause_s + COOKIE_MAX_AGE_S,
        httponly=True, samesite="Lax", secure=request.app[CONTEXT].deps.secure_cookies,
    )  # fmt: skip


def result_page(path: str) -> str:
    """The page that shows what became of a form that was sent to this path."""
    for board in BOARDS:
        if path.startswith(f"{board}/"):
            return board
    parent = path.rpartition("/")[0]
    return PAGE_AFTER_FORM.get(path) or parent or path
