"""The operators' lists and the report of payments as pages: a query of the API and a template each."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel

from models.dead_letter import DeadLetterState
from models.stuck import Actor
from web.api import disputes, refunds
from web.catalogue import Restaurant
from web.http.answers import as_json
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.route import AnyCall, Route, staff
from web.http.tokens import Role
from web.ops import audit, dead_letters, lag, orders, reconciliation, reports, stuck
from web.ops.payment_report import PaymentReport
from web.pages.errors import field_texts
from web.pages.render import render

OPERATORS = staff(Role.OPERATOR)


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


def show_report(
    call: AnyCall, report: PaymentReport | None = None, wrong: str = ""
) -> web.Response:
    """The report; without one, why there is none."""
    request, found = call.request, as_json(report) if report else None
    export = {**request.query, "format": "csv"}
    return render(
        request, "ops_payments.html", identity=call.identity, found=found, wrong=wrong,
        query=request.query, restaurants=restaurants(call),
        currencies=sorted({place.currency for place in restaurants(call).values()}),
        export=request.rel_url.with_path("/api/reports/payments").with_query(export),
        data=orjson.dumps(found["buckets"] if found else []).decode().replace("<", "\\u003c"),
    )  # fmt: skip


async def show_refused_report(call: AnyCall, error: Exception) -> web.Response:
    """The form with what is wrong in it."""
    if not isinstance(error, ProblemError) or error.code != "VALIDATION_FAILED":
        raise error
    return show_report(call, wrong=field_texts(error))


def _list(path: str, run: Any, params: type[Params], template: str, **values: Any) -> Route:
    """values: what the template shows beside the result; of functions, what they give for the call."""

    def show(call: AnyCall, result: BaseModel) -> web.Response:
        made = {name: value(call) if callable(value) else value for name, value in values.items()}
        return render(call.request, template, found=as_json(result), identity=call.identity, **made)

    return Route(
        method="GET", path=path, run=run, params=params, access=OPERATORS, is_page=True,
        drops_empty=True, renderer=show,
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
    Route(method="GET", path="/ops/payments", run=reports.ReportPayments, params=reports.ReportParams,
          access=OPERATORS, is_page=True, drops_empty=True, renderer=show_report,
          rescue=show_refused_report),
)  # fmt: skip
