"""Which language a page is in, and the choice of another in its foot."""

from typing import Final

from aiohttp import web

from web import languages
from web.http.context import CONTEXT
from web.http.route import AnyCall
from web.pages.staff.login import own_path

COOKIE_MAX_AGE_S: Final = 365 * 24 * 3600


def language_of(request: web.Request) -> str:
    """What the reader chose, else the browser's, else the platform's."""
    return languages.named_in(request.cookies, request.headers) or (
        request.config_dict[CONTEXT].deps.default_language
    )


def choose(call: AnyCall) -> web.Response:
    """Remember the reader's choice, and show the page again on which it was made."""
    target = own_path(call.fields.get("next", "")) or "/"
    response = web.Response(status=303, headers={"Location": target})
    chosen = call.fields.get("language", "")
    if chosen in languages.LANGUAGES:
        response.set_cookie(
            languages.COOKIE, chosen, max_age=COOKIE_MAX_AGE_S, path="/", httponly=True, samesite="Lax",
            secure=call.context.deps.secure_cookies,
        )  # fmt: skip
    return response
