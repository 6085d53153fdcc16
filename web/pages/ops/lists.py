"""The operators' pages: what the API's lists say, as people read it."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from models.stuck import Actor
from web.api import disputes, refunds
from web.http.auth import authorize_staff
from web.http.context import CONTEXT
from web.http.tokens import Role
from web.ops import audit, orders
from web.pages import interim
from web.pages.forms import answer_of, drop_empty, is_for_worker
from web.pages.render import render

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _page(
    request: web.Request, handler: Handler, template: str, **values: Any
) -> web.StreamResponse:
    """What a handler of the API answers, as a page; for another worker as it is."""
    answer = await handler(request)
    if is_for_worker(request):
        return answer
    identity = await authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)
    return render(request, template, found=answer_of(answer), identity=identity, **values)


async def list_orders(request: web.Request) -> web.StreamResponse:
    """Orders by state, restaurant and time."""
    drop_empty(request)
    return await _page(
        request, interim.handler("list_orders"), "ops_orders.html", states=orders.STATES,
        state=request.query.get("state", ""), asked=request.query, older=_older(request),
        restaurants=request.app[CONTEXT].deps.catalogue.restaurants,
    )  # fmt: skip


def _older(request: web.Request) -> Callable[[str], str]:
    """The address of the next page of the same list, by where it begins."""
    return lambda before: str(request.rel_url.with_query({**request.query, "before": before}))


async def list_stuck(request: web.Request) -> web.StreamResponse:
    """What is stuck, and who must act."""
    drop_empty(request)
    return await _page(
        request, interim.handler("list_stuck"), "ops_stuck.html", actors=tuple(Actor),
        actor=request.query.get("actor", ""),
    )  # fmt: skip


async def show_lag(request: web.Request) -> web.StreamResponse:
    """How far each service is behind."""
    return await _page(request, interim.handler("show_lag"), "ops_lag.html")


async def list_audit(request: web.Request) -> web.StreamResponse:
    """What operators did and what was refused."""
    drop_empty(request)
    return await _page(
        request, interim.handler("list_audit"), "ops_audit.html", asked=request.query, older=_older(request),
        kinds=audit.AUDIT_EVENT_TYPES,
    )  # fmt: skip


async def list_refunds(request: web.Request) -> web.StreamResponse:
    """Refunds by state."""
    drop_empty(request)
    return await _page(
        request, interim.handler("list_refunds"), "ops_refunds.html", states=refunds.STATES,
        state=request.query.get("state", ""),
    )  # fmt: skip


async def list_disputes(request: web.Request) -> web.StreamResponse:
    """Disputes, those whose evidence is due soonest first."""
    drop_empty(request)
    return await _page(
        request, interim.handler("list_disputes"), "ops_disputes.html", states=disputes.STATES,
        state=request.query.get("state", ""),
    )  # fmt: skip


async def show_reconciliation(request: web.Request) -> web.StreamResponse:
    """Whether Stripe's money and ours agree."""
    return await _page(request, interim.handler("show_reconciliation"), "ops_reconciliation.html")
