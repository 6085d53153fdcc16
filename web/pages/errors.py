"""Problems of pages as pages: in plain words, with what to do, and no internals."""

import logging
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from models import ids, tracing
from models.errors import UnavailableError
from tables import NotOwnerError, NotReadyError
from web.http.middleware import Handler, client_has_left, unexpected
from web.http.problems import CODES, ProblemError, of_http_exception
from web.http.route import route_of
from web.languages import language as reader_language
from web.pages import retry
from web.pages.preferences import language_of
from web.pages.render import render

HTMX: Final = "HX-Request"
"""Set by htmx, which swaps a part of a page."""
MACHINE_PATHS: Final = (
    "/api/", "/webhooks/", "/livez", "/readyz", "/metrics", "/openapi.json", "/asyncapi",
)  # fmt: skip
"""Where requests that fit no route get problems as JSON."""

STAFF_HOMES: Final = {
    "/kitchen": "The kitchen's board",
    "/courier": "Deliveries",
    "/ops": "Overview",
}
"""Where nobody comes without having signed in -> how the link back is called."""

HOME_TEXT: Final = "All restaurants"

PROBLEM_TEXTS: Final = {
    "NOT_FOUND": (
        "We can't find that page",
        "It may have moved, or there may be a typo in the address.",
    ),
    "ORDER_UNKNOWN": (
        "We can't find that order",
        "If you placed it a moment ago, give it a second and reload.",
    ),
    "LINK_INVALID": (
        "This link no longer works",
        "Links in our emails and text messages work for 30 days. Open the latest one, and copy the whole link.",
    ),
    "RESTAURANT_UNKNOWN": ("We can't find that restaurant", "It may no longer be on Tiffin."),
    "TOKEN_MISSING": (
        "This page is private",
        "Open an order in the browser you placed it in, or with the link in our email. Staff sign in first.",
    ),
    "TOKEN_INVALID": (
        "Your session has ended",
        "Sign in again, or open the order in the browser you placed it in.",
    ),
    "WRONG_ORDER": (
        "This order belongs to someone else",
        "Open an order in the browser you placed it in, or with the link in our email or text message.",
    ),
    "ROLE_REFUSED": ("You can't open this page", "Your account does not have the role for it."),
    "ORIGIN_REFUSED": ("That came from another site", "Go back and try again from our own page."),
    "PAYMENT_NOT_OPENED": (
        "We could not start the payment",
        "You have not been charged. Try again; if it keeps happening, contact our support team.",
    ),
    "TOO_MANY_REQUESTS": (
        "That was a little too fast",
        "There were too many requests from your network. Wait a moment, then try again.",
    ),
    "ORDER_QUARANTINED": (
        "Our team is looking into this order",
        "Someone needs to check it. You will not be charged twice.",
    ),
}
"""Code -> headline, what to do; the rest by kind."""
BUSY: Final = (
    "One moment, please",
    "Part of our system can't be reached right now. This page will try again by itself.",
)
BUSY_FOR_LONG: Final = (
    "This is taking longer than it should",
    "Part of our system can't be reached, and this page has stopped trying. Reload it in a few minutes.",
)
BUSY_AFTER_FORM: Final = (
    "We don't know yet whether that worked",
    "Part of our system can't be reached right now. In a moment you can check the current status.",
)
NOT_HERE_YET: Final = (
    "Your order is not here yet",
    "If you placed it a moment ago, it is still being processed. This page will try again by itself.",
)
BROKEN: Final = (
    "Something went wrong on our side",
    "Try again in a moment. You will not be charged twice. If it keeps happening, tell us the reference below.",
)
BROKEN_FORM: Final = (
    "Something went wrong on our side",
    "We don't know whether that worked. Check the current status before you try again.",
)

log = logging.getLogger("tiffin.web.pages")


@web.middleware
async def problems_as_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Show what a page's handler raises as a page; programs' paths and programs pass through."""
    is_fragment = request.headers.get(HTMX) == "true"
    is_for_people = is_fragment or "text/html" in request.headers.get("Accept", "")
    if not (is_for_people and _is_page(request)):
        return await handler(request)
    reader_language.set(language_of(request))
    try:
        return await handler(request)
    except ProblemError as error:
        problem = error
    except web.HTTPException as error:
        problem = of_http_exception(error)
    except (NotOwnerError, NotReadyError):
        problem = ProblemError("OWNER_UNKNOWN")
    except UnavailableError as error:
        problem = ProblemError(error.code if error.code in CODES else UnavailableError.code)
    except Exception as error:  # people get a page, whatever happens
        if client_has_left(request, error):
            raise
        problem = unexpected(error)
    if problem.status == 401 and request.path.startswith(tuple(STAFF_HOMES)):
        # Nothing that was sent is lost by it: what needs a token is refused before it is done.
        raise web.HTTPSeeOther(f"/login?{urlencode({'next': request.path})}")
    return _page(request, problem)


def _is_page(request: web.Request) -> bool:
    route = route_of(request)
    if route is None:
        return not request.path.startswith(MACHINE_PATHS)
    return route.is_page or bool(route.html and request.query.get("format") != "json")


def _page(request: web.Request, problem: ProblemError) -> web.Response:
    status = problem.status
    is_form = request.method == "POST"
    is_busy = status in {503, 504}
    # Whoever may open an order's page has its token, which is made when the order is placed.
    is_on_its_way = (
        problem.code == "ORDER_UNKNOWN"
        and request.path.startswith("/orders/")
        and ids.is_order_id(request.match_info.get("order_id", ""))
    )
    pause_s = None
    if is_busy or (is_on_its_way and not is_form):
        pause_s = retry.pause_s(0 if is_form else retry.tries_of(request))
    if pause_s is not None:
        pause_s = max(pause_s, problem.retry_after_s or 0)
    headline, more = _texts(problem, is_form=is_form, is_trying=pause_s is not None)
    if status >= 500:
        log.warning("page failed", extra={"code": problem.code})
    is_get, may_sign_in = request.method == "GET", status in {401, 403}
    home = "/" if may_sign_in else next(filter(request.path.startswith, STAFF_HOMES), "/")
    response = render(
        request, "error.html", status=status, headline=headline, more=more, code=problem.code,
        pause_s=pause_s, leads_to=retry.result_page(request.path) if is_form and status >= 500 else "",
        may_sign_in=may_sign_in, home=home, home_words=STAFF_HOMES.get(home, HOME_TEXT),
        again=request.path_qs if is_get and status >= 500 else "",
        reference=tracing.reference() if status >= 500 else "",
    )  # fmt: skip
    response.headers.update(problem.headers)
    if pause_s is not None and not is_form:
        retry.count_try(request, response, pause_s)
    if is_busy or problem.retry_after_s:
        response.headers["Retry-After"] = str(problem.retry_after_s or pause_s or 60)
    return response


def _texts(problem: ProblemError, *, is_form: bool, is_trying: bool) -> tuple[str, str]:
    """Headline, and what to do; what is said of trying again is what the page does."""
    if problem.code == "ORDER_UNKNOWN" and is_trying:
        return NOT_HERE_YET
    if problem.code in PROBLEM_TEXTS:
        return PROBLEM_TEXTS[problem.code]
    if problem.status in {503, 504}:
        return BUSY_AFTER_FORM if is_form else BUSY if is_trying else BUSY_FOR_LONG
    if problem.status >= 500:
        return BROKEN_FORM if is_form else BROKEN
    return CODES[problem.code][1] + ".", problem.detail


def field_texts(problem: ProblemError) -> str:
    """What is wrong with each field; "" where no field is named."""
    return "; ".join(f"{field}: {message}" for field, message in problem.errors)
