"""The report of payments as a page, with its charts."""

import orjson
from aiohttp import web

from web.http.answers import as_json
from web.http.problems import ProblemError
from web.http.route import AnyCall
from web.ops.payment_report import PaymentReport
from web.pages.errors import field_texts
from web.pages.ops.lists import restaurants
from web.pages.render import render


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


async def show_refused(call: AnyCall, error: Exception) -> web.Response:
    """The form with what is wrong in it."""
    if not isinstance(error, ProblemError) or error.code != "VALIDATION_FAILED":
        raise error
    return show_report(call, wrong=field_texts(error))
