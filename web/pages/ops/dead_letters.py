"""One dead letter before an operator: what it holds, its redrive and its discard with their dry runs."""

from typing import Any

from aiohttp import web

from web.http.answers import as_json
from web.http.bodies import Body, validated
from web.http.dispatch import result_of
from web.http.problems import ProblemError
from web.http.route import AnyCall
from web.ops import dead_letters
from web.ops.dead_letter_views import DeadLetterDetail, DiscardBody, RedriveBody
from web.pages.errors import field_texts
from web.pages.render import render


def show_dead_letter(call: AnyCall, detail: DeadLetterDetail) -> web.Response:
    """The dead letter, and what can be done with it."""
    return _page(call, detail, said=call.request.query.get("said", ""))


async def redrive_dead_letter(call: AnyCall) -> web.Response:
    """Do a dry run of a redrive and show what would happen, or redrive it."""
    run = dead_letters.redrive_dead_letter
    return await _settle(call, "redrive", run, RedriveBody, "allOfOrder")


async def discard_dead_letter(call: AnyCall) -> web.Response:
    """Show what giving it up would mean, or discard it."""
    run = dead_letters.discard_dead_letter
    return await _settle(call, "discard", run, DiscardBody, "redriveRest")


async def _settle(
    call: AnyCall, name: str, run: Any, kind: type[Body], option: str
) -> web.Response:
    fields = call.fields
    value = {
        "reason": fields.get("reason", ""),
        "dryRun": fields.get("do") != "yes",
        option: fields.get(option) == "yes",
    }
    act, wrong = None, ""
    try:
        call.body = validated(kind, value)
        act = await result_of(call, run)
    except ProblemError as problem:
        if problem.status not in {400, 409}:
            raise
        wrong = field_texts(problem) or problem.detail or problem.code
    if act and not act.dry_run and not act.refused and not act.stopped:
        raise web.HTTPSeeOther(f"/ops/dead-letters/{call.id_of('dead_letter_id')}?said={name}")
    call.subject = await dead_letters.find_dead_letter(call)
    detail = await result_of(call, dead_letters.show_dead_letter)
    shown = as_json(act) if act else None
    return _page(call, detail, act=shown, asked={**value, "name": name}, wrong=wrong)


def _page(call: AnyCall, detail: DeadLetterDetail, **values: Any) -> web.Response:
    return render(
        call.request, "ops_dead_letter.html", identity=call.identity, found=as_json(detail),
        **{"act": None, "asked": {}, "wrong": "", "said": "", **values},
    )  # fmt: skip
