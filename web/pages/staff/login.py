"""Staff sign in and out: at the platform's identity provider, with a token of it, or freely in the sandbox."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from web.http import auth
from web.http.context import Context
from web.http.problems import ProblemError
from web.http.route import AnyCall
from web.http.staff_sessions import SHIFT_S
from web.http.tokens import BadTokenError, Identity, Role
from web.languages import gettext
from web.pages.render import render

HOMES: Final = {Role.KITCHEN: "/kitchen", Role.COURIER: "/courier", Role.OPERATOR: "/ops"}
SIGN_IN_COOKIE: Final = "tiffin_sign_in"
SIGN_IN_S: Final = 600
"""How long somebody may take at the identity provider."""
NAMES: Final = {Role.KITCHEN: "Kitchen", Role.COURIER: "Courier", Role.OPERATOR: "Operator"}


def show_login(call: AnyCall) -> web.Response:
    """The form; `?next=` says where to go on."""
    return _form(call, own_path(call.request.query.get("next", "")))


async def login(call: AnyCall) -> web.Response:
    """Sign in, and go where the role works or where the page before wanted to."""
    context, form = call.context, call.fields
    target = own_path(form.get("next", ""))
    try:
        token = form.get("token") or _development_token(context, form)
        if context.deps.staff is None:
            raise BadTokenError("of no use: no identity provider is set")
        identity = await context.deps.staff.verify(token)
    except BadTokenError as error:
        return _form(
            call, target, wrong=gettext("Sign-in failed: the token is {error}.", error=error)
        )
    return _signed_in(context, identity, token, target)


async def begin_sign_in(call: AnyCall) -> web.Response:
    """To the identity provider, and back to `end_sign_in`."""
    deps = call.context.deps
    if deps.sign_in is None:
        raise ProblemError("NOT_FOUND")
    url, cookie = await deps.sign_in.begin(own_path(call.request.query.get("next", "")))
    response = web.Response(status=303, headers={"Location": url, "Cache-Control": "no-store"})
    auth.set_cookie(response, deps, SIGN_IN_COOKIE, cookie, SIGN_IN_S)
    return response


async def end_sign_in(call: AnyCall) -> web.Response:
    """Back from the identity provider: a session if it vouches for somebody of the staff, else why not."""
    deps, query = call.context.deps, call.request.query
    if deps.sign_in is None or deps.staff_sessions is None:
        raise ProblemError("NOT_FOUND")
    cookie = call.request.cookies.get(SIGN_IN_COOKIE, "")
    if "code" not in query:
        return _form(call, "", wrong=gettext("The identity provider did not sign you in."))
    try:
        identity, target = await deps.sign_in.finish(cookie, query.get("state", ""), query["code"])
    except BadTokenError as error:
        return _form(call, "", wrong=gettext("Sign-in failed: the token is {error}.", error=error))
    response = _signed_in(call.context, identity, deps.staff_sessions.issue(identity), target)
    response.del_cookie(SIGN_IN_COOKIE, path="/")
    return response


def _signed_in(context: Context, identity: Identity, token: str, target: str) -> web.Response:
    """Where the role works, or where the page before wanted to, with the cookie of it."""
    home = HOMES[identity.role]
    fits = target.startswith(home)
    response = web.Response(status=303, headers={"Location": target if fits else home})
    auth.set_cookie(response, context.deps, auth.STAFF_COOKIE, token, SHIFT_S)
    return response


def logout(_: AnyCall) -> web.Response:
    """Sign out."""
    response = web.Response(status=303, headers={"Location": "/login"})
    response.del_cookie(auth.STAFF_COOKIE, path="/")
    return response


def _development_token(context: Context, form: Mapping[str, str]) -> str:
    development = context.deps.development_login
    if development is None:
        raise BadTokenError("missing")
    role = next((role for role in HOMES if role == form.get("role")), None)
    name = form.get("name") or "demo"
    if role is None or not name.replace("-", "").replace(".", "").isalnum() or len(name) > 60:
        raise BadTokenError("not to be had for that role and name; use letters and digits")
    restaurant_id = form.get("restaurant") if role is Role.KITCHEN else None
    if role is Role.KITCHEN and restaurant_id not in context.deps.catalogue.restaurants:
        raise ProblemError("RESTAURANT_UNKNOWN")
    return development.issue(role, name, restaurant_id)


def _form(call: AnyCall, target: str, wrong: str = "") -> web.Response:
    deps = call.context.deps
    wanted = next((role for role, home in HOMES.items() if target.startswith(home)), Role.OPERATOR)
    return render(
        call.request, "login.html", target=target, wrong=wrong, wanted=wanted, roles=NAMES,
        restaurants=tuple(deps.catalogue.restaurants.values()),
        is_development=deps.development_login is not None, has_sign_in=deps.sign_in is not None,
    )  # fmt: skip


def own_path(target: str) -> str:
    """A path of ours; never another site's."""
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if is_ours and target.isprintable() else ""
