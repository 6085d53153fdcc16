"""The operators' pages: what the API's lists say, as people read it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp import web

from models.dead_letter import DeadLetterState
from models.stuck import Actor
from web.api import disputes, refunds
from web.http.auth import authorize_staff
from web.http.bodies import VALUE
from web.http.context import CONTEXT
from web.http.problems import ProblemError
from web.http.tokens import Role
from web.ops import (
    dead_letters,
    orders,
    overview,
    reconciliation,
    reports,
    stuck,
)
from web.ops import search as searching
from web.pages.forms import answer_of, drop_empty, is_for_worker, read_form
from web.pages.render import render
from web.pages.staff import board_streams

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE_OF_API_PATH: Final = {
    "/api/ops/overview": "/ops",
    "/api/ops/stuck": "/ops/stuck",
    "/api/ops/lag": "/ops/lag",
    "/api/ops/dead-letters": "/ops/dead-letters",
    "/api/ops/reconciliation": "/ops/reconciliation",
}
"""Where the API says that a concern is shown -> its page."""
MATCH_TEXTS: Final = {
    "reference": "its reference", "order": "its id", "id": "an id", "email": "the customer's email",
    "phone": "the customer's telephone number", "name": "the customer's name", "amount": "its amount",
    "card": "the last digits of a card",
}  # fmt: skip
CONCERN_TEXTS: Final = {
    "STUCK": "Orders are stuck",
    "DEAD_LETTERS": "Dead letters are open",
    "CLOCK": "A clock is wrong",
    "LAG": "Records wait to be worked on",
    "KAFKA_UNAVAILABLE": "Kafka can't be reached",
    "PARTITIONS_STOPPED": "Partitions are stopped at something that can't be read",
    "PARTITIONS_UNSERVED": "Some partitions are served by nobody",
    "DIFFERENCES": "Money differs from Stripe's",
    "RECONCILIATION_UNFINISHED": "The comparison with Stripe is not complete",
}


async def _page(
    request: web.Request, handler: Handler, template: str, **values: Any
) -> web.StreamResponse:
    """What a handler of the API answers, as a page; for another worker as it is."""
    answer = await handler(request)
    if is_for_worker(request):
        return answer
    identity = await authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)
    return render(request, template, found=answer_of(answer), identity=identity, **values)


async def show_overview(request: web.Request) -> web.StreamResponse:
    """Healthy or not, at one glance; 204 when the browser has just this one."""
    glance, asked = request.app[board_streams.OVERVIEW_SNAPSHOT], request.query.get("seen")
    identity = await authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)
    found = glance.latest() if asked is not None and not is_for_worker(request) else None
    if found is None:
        answer = await overview.show_overview(request)
        if is_for_worker(request):
            return answer
        found = answer_of(answer)
    seen = board_streams.overview_fingerprint(found)
    if asked == seen:
        return web.Response(status=204)
    return render(
        request, "ops_overview.html", identity=identity, found=found, seen=seen, places=PAGE_OF_API_PATH,
        concerns=CONCERN_TEXTS,
    )  # fmt: skip


async def list_orders(request: web.Request) -> web.StreamResponse:
    """Orders by state, restaurant and time."""
    drop_empty(request)
    return await _page(
        request, orders.list_orders, "ops_orders.html", states=orders.STATES,
        state=request.query.get("state", ""), asked=request.query, older=_older(request),
        restaurants=request.app[CONTEXT].deps.catalogue.restaurants,
    )  # fmt: skip


def _older(request: web.Request) -> Callable[[str], str]:
    """The address of the next page of the same list, by where it begins."""
    return lambda before: str(request.rel_url.with_query({**request.query, "before": before}))


async def search_ids(request: web.Request) -> web.StreamResponse:
    """The orders that the id in the address belongs to; the form searches for anything."""
    return await _search(request, searching.search_ids, request.query.get("q", ""))


async def search(request: web.Request) -> web.StreamResponse:
    """The orders that a text stands for, which is never in an address; at once the order, if there is one."""
    asked = (await read_form(request)).get("q", "")
    request[VALUE] = {"q": asked}
    return await _search(request, searching.search, asked)


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


async def list_stuck(request: web.Request) -> web.StreamResponse:
    """What is stuck, and who must act."""
    drop_empty(request)
    return await _page(
        request, stuck.list_stuck, "ops_stuck.html", actors=tuple(Actor),
        actor=request.query.get("actor", ""),
    )  # fmt: skip


async def show_lag(request: web.Request) -> web.StreamResponse:
    """How far each service is behind."""
    return await _page(request, overview.show_lag, "ops_lag.html")


async def list_audit(request: web.Request) -> web.StreamResponse:
    """What operators did and what was refused."""
    drop_empty(request)
    return await _page(
        request, overview.list_audit, "ops_audit.html", asked=request.query, older=_older(request),
        kinds=overview.AUDIT_EVENT_TYPES,
    )  # fmt: skip


async def list_refunds(request: web.Request) -> web.StreamResponse:
    """Refunds by state."""
    drop_empty(request)
    return await _page(
        request, refunds.list_refunds, "ops_refunds.html", states=refunds.STATES,
        state=request.query.get("state", ""),
    )  # fmt: skip


async def list_disputes(request: web.Request) -> web.StreamResponse:
    """Disputes, those whose evidence is due soonest first."""
    drop_empty(request)
    return await _page(
        request, disputes.list_disputes, "ops_disputes.html", states=disputes.STATES,
        state=request.query.get("state", ""),
    )  # fmt: skip


async def show_reconciliation(request: web.Request) -> web.StreamResponse:
    """Whether Stripe's money and ours agree."""
    return await _page(request, reconciliation.show_reconciliation, "ops_reconciliation.html")


async def report_payments(request: web.Request) -> web.StreamResponse:
    """The report of payments with its charts."""
    drop_empty(request)
    context = request.app[CONTEXT]
    try:
        answer = await reports.report_payments(request)
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


async def list_dead_letters(request: web.Request) -> web.StreamResponse:
    """Dead letters by state."""
    drop_empty(request)
    return await _page(
        request, dead_letters.list_dead_letters, "ops_dead_letters.html",
        states=(*DeadLetterState, dead_letters.ALL), state=request.query.get("state", DeadLetterState.OPEN),
    )  # fmt: skip


async def show_dead_letter(request: web.Request) -> web.StreamResponse:
    """One dead letter, and what can be done with it."""
    answer = await dead_letters.show_dead_letter(request)
    if answer.prepared:
        return answer
    identity = await authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)
    return render(
        request, "ops_dead_letter.html", identity=identity, found=answer_of(answer), act=None,
        asked={}, wrong="", said=request.query.get("said", ""),
    )  # fmt: skip


async def redrive_dead_letter(request: web.Request) -> web.StreamResponse:
    """Rehearse a redrive and show what would happen, or do it."""
    await authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)
    form = await read_form(request)
    value = {
        "reason": form.get("reason", ""),
        "dryRun": form.get("do") != "yes",
        "allOfOrder": form.get("allOfOrder") == "yes",
    }
    return await _act_on_dead_letter(request, dead_letters.redrive_dead_letter, "redrive", value)


async def discard_dead_letter(request: web.Request) -> web.StreamResponse:
    """Tell what giving it up would mean, or do it."""
    await authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)
    form = await read_form(request)
    value = {
        "reason": form.get("reason", ""),
        "dryRun": form.get("do") != "yes",
        "redriveRest": form.get("redriveRest") == "yes",
    }
    return await _act_on_dead_letter(request, dead_letters.discard_dead_letter, "discard", value)


async def _act_on_dead_letter(
    request: web.Request, handler: Handler, name: str, value: dict[str, Any]
) -> web.StreamResponse:
    request[VALUE] = value
    act, wrong = None, ""
    try:
        answer = await handler(request)
        if answer.prepared:
            return answer
        act = answer_of(answer)
    except ProblemError as problem:
        if problem.status not in {400, 409}:
            raise
        wrong = _words_of(problem)
    letter_id = request.match_info["dead_letter_id"]
    if act and not act["dryRun"] and not act["refused"] and not act.get("stopped"):
        raise web.HTTPSeeOther(f"/ops/dead-letters/{letter_id}?said={name}")
    answer = await dead_letters.show_dead_letter(request)
    if answer.prepared:
        return answer
    identity = await authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)
    return render(
        request, "ops_dead_letter.html", identity=identity, found=answer_of(answer), act=act,
        asked={**value, "name": name}, wrong=wrong, said="",
    )  # fmt: skip


def _words_of(problem: ProblemError) -> str:
    if problem.errors:
        return "; ".join(f"{field}: {message}" for field, message in problem.errors)
    return problem.detail or problem.code
