"""The operators' overview that is made once for all who have it open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.support.http_api import Api, MakeApi
from tests.support.operations import QUIET_OPERATIONS
from web.http.problems import ProblemError
from web.http.tokens import Role
from web.pages.ops.overview import OVERVIEW_SNAPSHOT


def watch_of(api: Api, token: str) -> Any:
    """What the shared task gives: the request of who came last."""
    headers = {"Authorization": f"Bearer {token}"}
    request = make_mocked_request("GET", "/ops/stream", headers=headers, app=api.client.app)
    return SimpleNamespace(latest_request=request)


async def test_it_is_made_for_operators_alone(make_api: MakeApi) -> None:
    """Other workers refuse a token that has ended, and their part would be missing for everybody."""
    api = await make_api(operations=QUIET_OPERATIONS)
    snapshot = api.client.app[OVERVIEW_SNAPSHOT]
    for token in (api.operator + "x", api.staff.issue(Role.KITCHEN, "k", "annapurna-bengaluru")):
        with pytest.raises(ProblemError):
            await snapshot._look(watch_of(api, token))
    assert snapshot.latest() is None
    await snapshot._look(watch_of(api, api.operator))
    overview = snapshot.latest()
    assert overview is not None
    assert overview.workers
