"""The HTTP API over the real services, and a customer, an operator and Stripe to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.http_api import Api, MakeApi, started
from tests.support.in_memory_backend import InMemoryBackend
from web.http.server import ConnectionLimits


@pytest.fixture
async def make_api() -> AsyncIterator[MakeApi]:
    """Makes workers; limits of connections, and changed dependencies, as arguments."""
    running = []

    async def make(
        world: InMemoryBackend | None = None,
        connections: ConnectionLimits | None = None,
        **changes: Any,
    ) -> Api:
        running.append(await started(world, connections, **changes))
        return running[-1]

    yield make
    for api in running:
        await api.client.close()


@pytest.fixture
async def api(make_api: MakeApi) -> Api:
    return await make_api()
