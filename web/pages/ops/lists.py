"""The operators' lists as pages: a query of the API and a template each."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from models.dead_letter import DeadLetterState
from models.stuck import Actor
from web.api import disputes, refunds
from web.catalogue import Restaurant
from web.http.answers import as_json
from web.http.params import Params
from web.http.route import AnyCall, Renderer, Route, staff
from web.http.tokens import Role
from web.ops import audit, dead_letters, lag, orders, reconciliation, stuck
from web.pages.render import render

OPERATORS = staff(Role.OPERATOR)


def list_page(template: str, **values: Any) -> Renderer:
    """Renders a template with the result. values: more for it; of functions, what they give for the call."""

    def show(call: AnyCall, result: BaseModel) -> web.Response:
        made = {name: value(call) if callable(value) else value for name, value in values.items()}
        return render(call.request, template, found=as_json(result), identity=call.identity, **made)

    return show


def _chosen(name: str, default: str = "") -> Callable[[AnyCall], str]:
    """The value of a parameter of the query."""
    return lambda call: call.request.query.get(name, default)


def _query(call: AnyCall) -> Mapping[str, str]:
    return call.request.query


def _older(call: AnyCall) -> Callable[[str], str]:
    """The address of the next page of the same list, by where it begins."""
    url = call.request.rel_url
    return lambda before: str(url.with_query({**url.query, "before": before}))


def restaurants(call: AnyCall) -> Mapping[str, Restaurant]:
    """The catalogue's restaurants by their ids."""
    return call.context.deps.catalogue.restaurants


def _list(path: str, run: Any, params: type[Params], template: str, **values: Any) -> Route:
    return Route(
        method="GET", path=path, run=run, params=params, access=OPERATORS, is_page=True,
        drops_empty=True, renderer=list_page(template, **values),
    )  # fmt: skip


LISTS = (
    _list("/ops/orders", orders.ListOrders, orders.OrderListParams, "ops_orders.html",
          states=orders.STATES, state=_chosen("state"), asked=_query, older=_older,
          restaurants=restaurants),
    _list("/ops/stuck", stuck.ListStuck, stuck.StuckParams, "ops_stuck.html", actors=tuple(Actor),
          actor=_chosen("actor")),
    _list("/ops/lag", lag.ShowLag, Params, "ops_lag.html"),
    _list("/ops/audit", audit.list_audit, audit.AuditParams, "ops_audit.html", asked=_query,
          older=_older, kinds=audit.AUDIT_EVENT_TYPES),
    _list("/ops/refunds", refunds.ListRefunds, refunds.RefundParams, "ops_refunds.html",
          states=refunds.STATES, state=_chosen("state")),
    _list("/ops/disputes", disputes.ListDisputes, disputes.DisputeParams, "ops_disputes.html",
          states=disputes.STATES, state=_chosen("state")),
    _list("/ops/reconciliation", reconciliation.ShowReconciliation, Params, "ops_reconciliation.html"),
    _list("/ops/dead-letters", dead_letters.list_dead_letters, dead_letters.DeadLetterListParams,
          "ops_dead_letters.html", states=(*DeadLetterState, dead_letters.ALL),
          state=_chosen("state", DeadLetterState.OPEN)),
)  # fmt: skip
