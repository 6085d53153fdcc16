"""Pages show what the API leaves out and what it may have: each answer at its barest and at its fullest."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.http_api import HTML, Api, MakeApi
from tests.support.model_examples import PAGES, answering, of_model
from tests.support.operations import ONE_LETTER
from web.http.tokens import Role
from web.ops import dead_letter_views, dead_letters

ACTS = {
    "redrive": dead_letters.redrive_dead_letter, "discard": dead_letters.discard_dead_letter
}  # fmt: skip


@pytest.mark.parametrize("full", [False, True], ids=["barest", "fullest"])
@pytest.mark.parametrize("path", PAGES)
async def test_a_page_shows_what_the_api_may_answer(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch, path: str, full: bool
) -> None:
    kind, where = PAGES[path]
    api = await make_api(operations=ONE_LETTER)
    answering(monkeypatch, where, of_model(kind, full=full))
    role = Role.COURIER if path == "/courier" else Role.OPERATOR
    for token in {api.staff.issue(role, "a"), api.operator}:
        text = await page(api, "GET", path, token)
        assert ">None<" not in text
        # Every number of these answers is 1.
        words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.split("<main")[1]))
        assert not re.findall(r"(?<![\w.,:@-])1 (?:of )?[a-z]+(?<!i)s\b", words)


@pytest.mark.parametrize("full", [False, True], ids=["barest", "fullest"])
@pytest.mark.parametrize("act", ["redrive", "discard"])
@pytest.mark.parametrize("state", [{"refused": False}, {"refused": True}, {"dry_run": False}])
async def test_acts_on_dead_letters_are_shown(
    make_api: MakeApi,
    monkeypatch: pytest.MonkeyPatch,
    act: str,
    state: dict[str, bool],
    full: bool,
) -> None:
    api = await make_api(operations=ONE_LETTER)
    shown = of_model(dead_letter_views.DeadLetterDetail, full=full)
    answering(monkeypatch, dead_letters.show_dead_letter, shown)
    acted = of_model(dead_letter_views.SettlementView, full=full).model_copy(
        update={"dry_run": True} | state
    )
    answering(monkeypatch, ACTS[act], acted)
    await page(api, "POST", f"/ops/dead-letters/a/{act}", api.operator, data={"reason": "x"})


RELEASED, HELD = "The order is then released", "The order would stay quarantined"
THROUGH, GIVEN_UP = "It would succeed.", "It would be discarded"


@pytest.mark.parametrize(
    ("act", "given", "said", "not_said"),
    [
        ("redrive", {}, [THROUGH, RELEASED], [HELD]),
        ("redrive", {"quarantined": True}, [THROUGH, HELD], [RELEASED]),
        ("redrive", {"refused": True, "quarantined": True, "verdict": "DEAD"},
         ["it would become a dead letter again", HELD], [THROUGH, RELEASED, "Redrive now"]),
        ("redrive", {"refused": True, "quarantined": True, "verdict": "DUPLICATE"},
         ["it would have no effect", HELD], [THROUGH, RELEASED, "die again"]),
        ("discard", {"verdict": "DEAD"}, [GIVEN_UP, RELEASED], [THROUGH, HELD]),
        ("discard", {"verdict": "DEAD", "quarantined": True}, [GIVEN_UP, HELD], [THROUGH, RELEASED]),
        ("discard", {"stopped": "x would die again", "quarantined": True},
         [GIVEN_UP, HELD, "would stop: x would die again"], [THROUGH, RELEASED]),
    ],
)  # fmt: skip
async def test_a_rehearsal_says_what_becomes_of_the_order(
    make_api: MakeApi,
    monkeypatch: pytest.MonkeyPatch,
    act: str,
    given: dict[str, Any],
    said: list[str],
    not_said: list[str],
) -> None:
    api = await make_api(operations=ONE_LETTER)
    answering(
        monkeypatch,
        dead_letters.show_dead_letter,
        of_model(dead_letter_views.DeadLetterDetail, full=True),
    )
    step = dead_letter_views.RedriveStepView(
        dead_letter_id="a", verdict=given.pop("verdict", "DECIDED")
    )
    plain: dict[str, Any] = {"dry_run": True, "refused": False, "quarantined": False}
    acted = dead_letter_views.SettlementView(**(plain | given), steps=(step,))
    answering(monkeypatch, ACTS[act], acted)
    path = f"/ops/dead-letters/a/{act}"
    text = await page(api, "POST", path, api.operator, data={"reason": "x"})
    assert [words for words in said if words not in text] == []
    assert [words for words in not_said if words in text] == []


async def page(api: Api, method: str, path: str, token: str, **more: Any) -> str:
    headers = HTML | {"Authorization": f"Bearer {token}"}
    async with api.client.request(method, path, headers=headers, **more) as answer:
        text = await answer.text()
        assert answer.status == 200, f"{answer.status} {text[-2000:]}"
        return text
