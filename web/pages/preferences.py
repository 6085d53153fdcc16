"""What readers choose at the foot of a page: its language, and light or dark."""

from typing import Final

from aiohttp import web

from web import languages
from web.http.context import CONTEXT
from web.http.route import AnyCall
from web.pages.render import THEME_COOKIE
from web.pages.staff.login import own_path

COOKIE_MAX_AGE_S: Final = 365 * 24 * 3600
THEMES: Final = ("auto", "light", "dark")
"""The first is as the reader's system has it."""


def language_of(request: web.Request) -> str:
    """What the reader chose, else the browser's, else the platform's."""
    return languages.named_in(request.cookies, request.headers) or (
        request.config_dict[CONTEXT].deps.default_language
    )


def choose(call: AnyCall) -> web.Response:
    """Remember the reader's choice, and show the page again on which it was made."""
    target = own_path(call.fields.get("next", "")) or "/"
    response = web.Response(status=303, headers={"Location": target})
    for field, cookie, known in (
        ("language", languages.COOKIE, languages.LANGUAGES),
        ("theme", THEME_COOKIE, THEMES),
    ):
        if (chosen := call.fields.get(field, "")) in known:
            response.set_cookie(
                cookie, chosen, max_age=COOKIE_MAX_AGE_S, path="/", httponly=True, samesite="Lax",
                secure=call.context.deps.secure_cookies,
            )  # fmt: skip
    return response
