"""The operators' search as a page."""

from typing import Final

from aiohttp import web

from web.http.answers import as_json
from web.http.problems import ProblemError
from web.http.route import AnyCall
from web.ops.search import SearchView
from web.pages.ops.lists import restaurants
from web.pages.render import render

MATCH_TEXTS: Final = {
    "reference": "its reference", "order": "its id", "id": "an id", "email": "the customer's email",
    "phone": "the customer's phone number", "name": "the customer's name", "amount": "its amount",
    "card": "the last digits of a card",
}  # fmt: skip


def show_found(call: AnyCall, found: SearchView) -> web.Response:
    """The orders that were found; at once the order, if there is just one."""
    if len(found.orders) == 1 and not found.incomplete:
        raise web.HTTPSeeOther(f"/ops/orders/{found.orders[0].order_id}")
    return _page(call, found)


async def show_refused(call: AnyCall, error: Exception) -> web.Response:
    """Why a text can't be searched for; a card's number is not repeated."""
    code = error.code if isinstance(error, ProblemError) else ""
    if code not in {"VALIDATION_FAILED", "CARD_NUMBER_REFUSED"}:
        raise error
    return _page(call, wrong=code)


def _page(call: AnyCall, found: SearchView | None = None, wrong: str = "") -> web.Response:
    asked = call.fields.get("q") or call.request.query.get("q", "")  # in the form, or the address
    return render(
        call.request, "ops_search.html", identity=call.identity, wrong=wrong, kinds=MATCH_TEXTS,
        asked="" if wrong == "CARD_NUMBER_REFUSED" else asked, restaurants=restaurants(call),
        found=as_json(found) if found else None,
    )  # fmt: skip
