"""What goes wrong on a page, as a page: plain words, what to do, nothing of our inside."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from tables import NotOwnerError, NotReadyError
from web.auth import check_origin
from web.context import CONTEXT
from web.pages.forms import wants_fragment
from web.pages.render import render
from web.problems import CODES, ProblemError, UnavailableError, of_http_exception

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MACHINES: Final = (
    "/api/",
    "/webhooks/",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/asyncapi",
)
"""Paths of programs, which get problems as JSON."""

STAFF: Final = ("/kitchen", "/courier", "/ops")
"""Where nobody comes without having signed in."""

WORDS: Final = {
    "NOT_FOUND": ("We can't find that page", "It may have moved, or the address has a typo."),
    "ORDER_UNKNOWN": (
        "We can't find that order",
        "If you placed it a moment ago, give it a second and reload.",
    ),
    "LINK_INVALID": (
        "This link does not work any more",
        "Links in our mails and messages work for 30 days; open the latest one, and all of the link.",
    ),
    "RESTAURANT_UNKNOWN": ("We don't know that restaurant", "It may have left us."),
    "TOKEN_MISSING": (
        "This page is private",
        "Orders open in the browser that placed them and by links in our mails; staff sign in first.",
    ),
    "TOKEN_INVALID": (
        "Your session has ended",
        "Sign in again, or open the order where you placed it.",
    ),
    "WRONG_ORDER": (
        "This order is someone else's",
        "Orders open in the browser that placed them, and by links in our mails and messages.",
    ),
    "ROLE_REFUSED": ("You can't open this page", "Your account has another role."),
    "ORIGIN_REFUSED": ("That came from another site", "Go back and try again from our own page."),
    "PAYMENT_NOT_OPENED": (
        "The payment could not be opened",
        "Nothing was charged. Try once more; if it goes on, tell our support team.",
    ),
    "TOO_MANY_REQUESTS": (
        "That was a little too fast",
        "Many requests came from your address. Wait a moment, then try again.",
    ),
    "ORDER_QUARANTINED": (
        "Our team looks at this order",
        "Something about it needs a person. You will not be charged twice.",
    ),
}
"""Code -> headline, what to do; the rest by kind."""
BUSY: Final = (
    "One moment, please",
    "We are moving things around. This page tries again by itself.",
)
BROKEN: Final = (
    "Something went wrong on our side",
    "Nothing is lost. Reload the page to try again.",
)

log = logging.getLogger("tiffin.web.pages")


@web.middleware
async def as_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Show what a page's handler raises as a page; programs' paths and programs pass through."""
    if request.path.startswith(MACHINES):
        return await handler(request)
    if request.method == "POST":
        check_origin(request, request.app[CONTEXT].deps)
    if "text/html" not in request.headers.get("Accept", "") and not wants_fragment(request):
        return await handler(request)
    try:
        return await handler(request)
    except ProblemError as error:
        problem = error
    except web.HTTPException as error:
        if error.status < 400:
            raise
        problem = of_http_exception(error)
    except (NotOwnerError, NotReadyError):
        problem = ProblemError("OWNER_UNKNOWN")
    except UnavailableError as error:
        problem = ProblemError(error.code if error.code in CODES else UnavailableError.code)
    if problem.status == 401 and request.path.startswith(STAFF):
        # Nothing that was sent is lost by it: what needs a token is refused before it is done.
        raise web.HTTPSeeOther(f"/login?{urlencode({'next': request.path})}")
    return _page(request, problem)


def _page(request: web.Request, problem: ProblemError) -> web.Response:
    status = problem.status
    is_busy = status in {503, 504}
    headline, more = WORDS.get(problem.code) or (
        BUSY
        if is_busy
        else BROKEN
        if status >= 500
        else (CODES[problem.code][1] + ".", problem.detail)
    )
    if status >= 500:
        log.warning("page failed", extra={"code": problem.code})
    response = render(
        request, "error.html", status=status, headline=headline, more=more, code=problem.code,
        tries_again=is_busy and request.method == "GET", may_sign_in=status in {401, 403},
    )  # fmt: skip
    response.headers.update(problem.headers)
    if is_busy or problem.retry_after_s:
        response.headers["Retry-After"] = str(problem.retry_after_s or 2)
    return response
