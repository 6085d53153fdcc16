"""The dependencies of Operations where nothing has happened, and its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from models.dead_letter import DeadLetter, RecordLocation
from models.levels import Build, LevelHistory
from models.operations import AuditPage, Offsets, WorkerStatus
from tests.support.http_api import Api
from web.http.deps import OperatorDeps


@asynccontextmanager
async def page_of(api: Api, path: str) -> AsyncIterator[str]:
    headers = {"Authorization": f"Bearer {api.operator}", "Accept": "text/html"}
    async with api.client.get(path, headers=headers) as response:
        assert response.status == 200
        yield await response.text()


class NoLetters:
    """Dead letters, of which there are none."""

    left_out = 0

    def all(self) -> tuple[()]:
        return ()


class OneLetter(NoLetters):
    """Of no key, by any name; what it was is not asked for."""

    async def caught_up(self) -> None:
        pass

    def get(self, name: str) -> DeadLetter:
        origin = RecordLocation("order-events", 0, 0)
        return DeadLetter(
            name=name, first_offset=0, offset=0, key=None, service="orders", origins=[origin],
            error="", message="", dead_lettered_ms=0,
        )  # fmt: skip


class Letters(NoLetters):
    async def caught_up(self) -> None:
        pass

    def get(self, _: str) -> None:
        return None


async def no_offsets() -> Mapping[tuple[str, int], Offsets]:
    return {}


async def no_audit(_: int, __: Mapping[str, int], ___: object) -> AuditPage:
    return AuditPage((), 0, {})


async def no_builds() -> Sequence[Build]:
    return ()


QUIET_OPERATIONS: Any = OperatorDeps(
    dead_letters=NoLetters(),
    settling=None,
    stopped=SimpleNamespace(all=tuple),
    positions=tuple,
    offsets=no_offsets,
    audit=no_audit,
    worker=lambda: WorkerStatus(started_ms=0),
    audit_search=None,
    revocations=SimpleNamespace(all=tuple, revoke=None),
    level=SimpleNamespace(history=LevelHistory(), builds=no_builds, finish=None),
    records=None,
)
ONE_LETTER: Any = replace(QUIET_OPERATIONS, dead_letters=OneLetter())
