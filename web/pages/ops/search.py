"""The operators' search."""

from typing import Final

from aiohttp import web

from web.http.auth import authorize_staff
from web.http.bodies import VALUE
from web.http.context import CONTEXT
from web.http.problems import ProblemError
from web.http.tokens import Role
from web.pages import interim
from web.pages.forms import answer_of, is_for_worker, read_form
from web.pages.ops.lists import Handler
from web.pages.render import render

MATCH_TEXTS: Final = {
    "reference": "its reference", "order": "its id", "id": "an id", "email": "the customer's email",
    "phone": "the customer's telephone number", "name": "the customer's name", "amount": "its amount",
    "card": "the last digits of a card",
}  # fmt: skip


async def search_ids(request: web.Request) -> web.StreamResponse:
    """The orders that the id in the address belongs to; the form searches for anything."""
    return await _search(request, interim.handler("search_ids"), request.query.get("q", ""))


async def search(request: web.Request) -> web.StreamResponse:
    """The orders that a text stands for, which is never in an address; at once the order, if there is one."""
    asked = (await read_form(request)).get("q", "")
    request[VALUE] = {"q": asked}
    return await _search(request, interim.handler("search"), asked)


async def _search(request: web.Request, handler: Handler, asked: str) -> web.StreamResponse:
    found, wrong = None, ""
    try:
        answer = await handler(request)
    except ProblemError as problem:
        if problem.code not in {"VALIDATION_FAILED", "CARD_NUMBER_REFUSED"}:
            raise
        wrong, asked = problem.code, "" if problem.code == "CARD_NUMBER_REFUSED" else asked
    else:
        if is_for_worker(request):
            return answer
        found = answer_of(answer)
        if len(found["orders"]) == 1 and not found["incomplete"]:
            raise web.HTTPSeeOther(f"/ops/orders/{found['orders'][0]['orderId']}")
    context = request.app[CONTEXT]
    identity = await authorize_staff(request, context.deps, Role.OPERATOR)
    return render(
        request, "ops_search.html", identity=identity, asked=asked, found=found, wrong=wrong,
        restaurants=context.deps.catalogue.restaurants, kinds=MATCH_TEXTS,
    )  # fmt: skip
