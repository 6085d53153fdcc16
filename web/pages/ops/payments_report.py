"""The report of payments, with its charts."""

from typing import Any

import orjson
from aiohttp import web

from web.http.auth import authorize_staff
from web.http.context import CONTEXT
from web.http.problems import ProblemError
from web.http.tokens import Role
from web.pages import interim
from web.pages.forms import answer_of, drop_empty, is_for_worker
from web.pages.render import render


async def report_payments(request: web.Request) -> web.StreamResponse:
    """The report of payments with its charts."""
    drop_empty(request)
    context = request.app[CONTEXT]
    try:
        answer = await interim.handler("report_payments")(request)
    except ProblemError as problem:
        if problem.code != "VALIDATION_FAILED":
            raise
        wrong = "; ".join(f"{field}: {message}" for field, message in problem.errors)
        identity = await authorize_staff(request, context.deps, Role.OPERATOR)
        return _report(request, identity, None, wrong)
    if is_for_worker(request):
        return answer
    identity = await authorize_staff(request, context.deps, Role.OPERATOR)
    return _report(request, identity, answer_of(answer), "")


def _report(request: web.Request, identity: Any, found: Any, wrong: str) -> web.StreamResponse:
    restaurants = request.app[CONTEXT].deps.catalogue.restaurants
    export = {**request.query, "format": "csv"}
    return render(
        request, "ops_payments.html", identity=identity, found=found, wrong=wrong,
        query=request.query, restaurants=restaurants,
        currencies=sorted({place.currency for place in restaurants.values()}),
        export=request.rel_url.with_path("/api/reports/payments").with_query(export),
        data=orjson.dumps(found["buckets"] if found else []).decode().replace("<", "\\u003c"),
    )  # fmt: skip
