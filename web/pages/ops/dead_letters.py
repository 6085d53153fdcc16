"""Dead letters before an operator: the list, one of them, its redrive and discard with their dry runs."""

from typing import Any

from aiohttp import web

from models.dead_letter import DeadLetterState
from web.http.auth import authorize_staff
from web.http.bodies import VALUE
from web.http.context import CONTEXT
from web.http.problems import ProblemError
from web.http.tokens import Role
from web.ops import dead_letters
from web.pages import interim
from web.pages.forms import answer_of, drop_empty, read_form
from web.pages.ops.lists import Handler, _page
from web.pages.render import render


async def list_dead_letters(request: web.Request) -> web.StreamResponse:
    """Dead letters by state."""
    drop_empty(request)
    return await _page(
        request, interim.handler("list_dead_letters"), "ops_dead_letters.html",
        states=(*DeadLetterState, dead_letters.ALL), state=request.query.get("state", DeadLetterState.OPEN),
    )  # fmt: skip


async def show_dead_letter(request: web.Request) -> web.StreamResponse:
    """One dead letter, and what can be done with it."""
    answer = await interim.handler("show_dead_letter")(request)
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
    return await _act_on_dead_letter(
        request, interim.handler("redrive_dead_letter"), "redrive", value
    )


async def discard_dead_letter(request: web.Request) -> web.StreamResponse:
    """Tell what giving it up would mean, or do it."""
    await authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)
    form = await read_form(request)
    value = {
        "reason": form.get("reason", ""),
        "dryRun": form.get("do") != "yes",
        "redriveRest": form.get("redriveRest") == "yes",
    }
    return await _act_on_dead_letter(
        request, interim.handler("discard_dead_letter"), "discard", value
    )


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
    answer = await interim.handler("show_dead_letter")(request)
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
