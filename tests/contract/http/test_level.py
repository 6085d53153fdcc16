"""The platform's level: operators see it and the builds of the workers, and finish an upgrade, nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from models.levels import LATEST, OLDEST, Build, LevelHistory
from tests.support.http_api import Api, MakeApi
from tests.support.operations import QUIET_OPERATIONS
from web.http.tokens import Role

OLD = Build("10.0.0.7", (0, 2), "", OLDEST)
NEW = Build("10.0.0.8", (1,), "0.2.0", LATEST)
PATH = "/api/ops/level"
BODY = {"reason": "all workers run 0.2.0"}


@dataclass
class Levels:
    """A platform that was never upgraded, with these builds."""

    running: list[Build]
    history: LevelHistory = field(default_factory=LevelHistory)
    acts: list[dict[str, Any]] = field(default_factory=list)

    async def builds(self) -> Sequence[Build]:
        return self.running

    async def finish(self, level: int, **act: Any) -> None:
        self.acts.append({"level": level, **act})
        self.history = self.history.raised(level, 0)


@pytest.fixture
def levels() -> Levels:
    return Levels([OLD, NEW])


@pytest.fixture
async def api(make_api: MakeApi, levels: Levels) -> Api:
    return await make_api(operations=replace(QUIET_OPERATIONS, level=levels))


def operator(api: Api) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.staff.issue(Role.OPERATOR, 'o')}"}


async def finish(api: Api, body: dict[str, Any] = BODY) -> tuple[int, dict[str, Any]]:
    async with api.client.post(f"{PATH}/finish", json=body, headers=operator(api)) as response:
        return response.status, await response.json()


async def test_it_is_refused_while_an_older_build_runs(api: Api, levels: Levels) -> None:
    async with api.client.get(PATH, headers=operator(api)) as response:
        shown = await response.json()
    assert (shown["level"], shown["latest"], shown["finished"]) == (OLDEST, LATEST, False)
    assert [each["understands"] for each in shown["workers"]] == [OLDEST, LATEST]
    assert shown["begins"]
    (blocker,) = shown["blockers"]
    assert "at 10.0.0.7 runs release 0.1.0" in blocker
    for body in (BODY, BODY | {"dryRun": True}):
        status, problem = await finish(api, body)
        assert (status, problem["code"]) == (409, "UPGRADE_NOT_FINISHED")
        assert problem["detail"] == blocker
    assert levels.acts == []


async def test_it_is_finished_once_all_understand_it(api: Api, levels: Levels) -> None:
    levels.running = [NEW]
    status, told = await finish(api, BODY | {"dryRun": True})
    assert (status, told["dryRun"], told["level"], levels.acts) == (200, True, OLDEST, [])
    status, told = await finish(api)
    assert (status, told["level"], told["finished"], told["blockers"]) == (200, LATEST, True, [])
    assert levels.acts == [{"level": LATEST, "by": "operator:o", "reason": BODY["reason"]}]


@pytest.mark.parametrize(
    "body",
    [{}, {"reason": ""}, BODY | {"level": LATEST + 1}, BODY | {"level": 0}, BODY | {"later": 1}],
    ids=["empty", "no-reason", "unknown-level", "zero", "unknown-field"],
)
async def test_what_it_does_not_take(api: Api, levels: Levels, body: dict[str, Any]) -> None:
    levels.running = [NEW]
    status, problem = await finish(api, body)
    assert (status, problem["code"], levels.acts) == (400, "VALIDATION_FAILED", [])


async def test_only_operators_see_and_raise_it(api: Api) -> None:
    for role in (Role.KITCHEN, Role.COURIER):
        headers = {"Authorization": f"Bearer {api.staff.issue(role, 's', 'r')}"}
        async with api.client.get(PATH, headers=headers) as response:
            assert response.status == 403
        async with api.client.post(f"{PATH}/finish", json=BODY, headers=headers) as response:
            assert response.status == 403
