"""One dead letter before an operator: what it holds, its redrive and its discard with their dry runs."""

from collections.abc import Mapping
from typing import Any, Final

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

ACTIONS: Final[Mapping[str, tuple[Any, type[Body], str]]] = {
    "redrive": (dead_letters.redrive_dead_letter, RedriveBody, "allOfOrder"),
    "discard": (dead_letters.discard_dead_letter, DiscardBody, "redriveRest"),
}
"""What operators do -> the command of the API, its body, and its option beside reason and dry run."""


def show_dead_letter(call: AnyCall, detail: DeadLetterDetail) -> web.Response:
    """The dead letter, and what can be done with it."""
    return _page(call, detail, said=call.request.query.get("said", ""))


async def act(name: str, call: AnyCall) -> web.Response:
    """Do a dry run of a redrive or a discard and show what would happen, or do it."""
    run, kind, option = ACTIONS[name]
    fields = call.fields
    value = {
        "reason": fields.get("reason", ""),
        "dryRun": fields.get("do") != "yes",
        option: fields.get(option) == "yes",
    }
    done, wrong = None, ""
    try:
        call.body = validated(kind, value)
        done = await result_of(call, run)
    except ProblemError as problem:
        if problem.status not in {400, 409}:
            raise
        wrong = field_texts(problem) or problem.detail or problem.code
    if done and not done.dry_run and not done.refused and not done.stopped:
        raise web.HTTPSeeOther(f"/ops/dead-letters/{call.id_of('dead_letter_id')}?said={name}")
    call.subject = await dead_letters.find_dead_letter(call)
    detail = await result_of(call, dead_letters.show_dead_letter)
    shown = as_json(done) if done else None
    return _page(call, detail, act=shown, asked={**value, "name": name}, wrong=wrong)


def _page(call: AnyCall, detail: DeadLetterDetail, **values: Any) -> web.Response:
    return render(
        call.request, "ops_dead_letter.html", identity=call.identity, found=as_json(detail),
        **{"act": None, "asked": {}, "wrong": "", "said": "", **values},
    )  # fmt: skip
