"""Links in notifications: each opens one order in the browser that follows it, at the order's clean address."""

import time

from aiohttp import web

from web.http import auth
from web.http.problems import ProblemError
from web.http.route import AnyCall
from web.http.tokens import NOTIFICATION_LINK_SUBJECT, BadTokenError


def open_order(call: AnyCall) -> web.Response:
    """To the order's page."""
    return _opened(call, "")


def open_payment(call: AnyCall) -> web.Response:
    """To where the order is paid; one that needs no payment shows its page there."""
    return _opened(call, "/pay")


def _opened(call: AnyCall, page: str) -> web.Response:
    """Let the browser in for as long as the link is good. Raises ProblemError (404).

    No table is asked, so the link works while partitions move; a browser that can open the order
    already keeps what it has, which is good for longer.
    """
    deps, request = call.context.deps, call.request
    try:
        order_id, until_s = deps.order_tokens.order_of_link(call.id_of("link"))
    except BadTokenError:
        raise ProblemError("LINK_INVALID") from None
    response = web.Response(status=303, headers={"Location": f"/orders/{order_id}{page}"})
    if not auth.has_order_cookie(request, deps, order_id):
        token = deps.order_tokens.issue(NOTIFICATION_LINK_SUBJECT, order_id, until_s)
        remaining_s = max(1, until_s - int(time.time()))
        auth.set_order_cookie(request, response, deps, order_id, token, remaining_s)
    return response
