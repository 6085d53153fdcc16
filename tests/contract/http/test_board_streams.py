"""What boards are told: who hears of what, across workers, and how streams end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import jwt
import pytest
from yarl import URL

from sandbox.processes import MAX_WAIT_S
from tests.support.http_api import Api, MakeApi
from tests.support.in_memory_backend import InMemoryBackend
from tests.support.waiting import until_true
from web.http import change_feed, sse
from web.http.change_feed import (
    EVERYTHING,
    RecentChanges,
    SharedTask,
    matches_any,
)
from web.http.context import CONTEXT, Context
from web.http.tokens import Role
from web.pages.staff import board_streams

if TYPE_CHECKING:
    import aiohttp

RESTAURANT, ANOTHER = "annapurna-bengaluru", "hinode-kyoto"
BOARD_CHANGED = b"event: board"


def context_of(api: Api) -> Context:
    assert api.client.app is not None
    return api.client.app[CONTEXT]


@asynccontextmanager
async def listening(
    api: Api, path: str, role: Role, restaurant: str | None = None
) -> AsyncIterator[aiohttp.StreamReader]:
    """A board's stream whose first event, which comes always, has been read."""
    headers = {"Authorization": f"Bearer {api.staff.issue(role, 'somebody', restaurant)}"}
    async with api.client.get(path, headers=headers) as stream:
        assert stream.status == 200, await stream.text()
        assert stream.content_type == "text/event-stream"
        assert BOARD_CHANGED in await next_event(stream.content)
        yield stream.content


async def next_event(content: aiohttp.StreamReader) -> bytes:
    async with asyncio.timeout(MAX_WAIT_S):
        return await content.readuntil(b"\r\n\r\n")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "COALESCE_S", 0.0)
    monkeypatch.setattr(board_streams, "MIN_INTERVAL_S", 0.0)
    monkeypatch.setattr(change_feed, "RESTART_DELAY_S", 0.01)
    monkeypatch.setattr(change_feed, "PEER_REFRESH_S", 0.01)


@pytest.mark.parametrize(
    ("path", "role", "restaurant"),
    [
        ("/kitchen/stream", Role.KITCHEN, RESTAURANT),
        ("/kitchen/stream", Role.OPERATOR, None),
        ("/courier/stream", Role.COURIER, None),
    ],
)
async def test_a_board_is_told_to_look(
    api: Api, path: str, role: Role, restaurant: str | None
) -> None:
    async with listening(api, path, role, restaurant) as content:
        await api.paid()
        assert BOARD_CHANGED in await next_event(content)


async def test_a_kitchen_hears_of_its_own_orders_alone(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.staff.board_streams.HEARTBEAT_S", 1.0)
    async with listening(api, "/kitchen/stream", Role.KITCHEN, ANOTHER) as content:
        began_s = time.monotonic()
        await api.order()
        event = await next_event(content)
        assert b"event: beat" in event  # which says that the stream lives
        assert BOARD_CHANGED not in event
        assert time.monotonic() - began_s >= 0.5, (
            "nothing that concerns others shows, not even early"
        )


async def test_a_courier_hears_of_what_waits_and_of_its_own_alone(api: Api) -> None:
    context = context_of(api)
    mine = frozenset({"courier:", "courier:carla"})

    async def heard_of(path: str, token: str) -> set[str]:
        read = context.changes.heard.last
        status, answer, _ = await api.post(path, {}, token=token)
        assert status == 200, answer
        return context.changes.heard.since(read)

    read = context.changes.heard.last
    order_id = (await api.paid())["orderId"]
    heard = context.changes.heard.since(read)
    assert matches_any(heard, mine), "it waits for a courier"
    kitchen = api.staff.issue(Role.KITCHEN, "ravi", RESTAURANT)
    other = api.staff.issue(Role.COURIER, "dev")
    assert matches_any(await heard_of(f"/api/deliveries/{order_id}/assign", other), mine), (
        "it is gone"
    )
    for step in ("accept", "start-preparing", "ready"):
        heard = await heard_of(f"/api/orders/{order_id}/{step}", kitchen)
        assert "courier:dev" in heard
        assert not matches_any(heard, mine), f"{step}: another courier's delivery"
        assert matches_any(heard, frozenset({"courier"})), "an operator hears of all"
    for step in ("pick-up", "deliver"):
        heard = await heard_of(f"/api/deliveries/{order_id}/{step}", other)
        assert "courier:dev" in heard
        assert not matches_any(heard, mine)


async def test_workers_alone_hear_which_kitchens_and_couriers_are_busy(api: Api) -> None:
    await api.paid()
    for role in (Role.KITCHEN, Role.COURIER, Role.OPERATOR):
        token = api.staff.issue(role, "somebody", ANOTHER)
        forged = {"Tiffin-Worker": "0" * 64}
        for headers in ({}, forged):
            status, answer = await api.get("/boards/changes", token, **headers)
            assert (status, answer["code"]) == (403, "ROLE_REFUSED")
            assert RESTAURANT not in str(answer)
    proof = {"Tiffin-Worker": api.deps.order_tokens.worker_proof}
    at = context_of(api).changes
    await api.get("/boards/changes", **proof)
    before = at.own.last
    await api.order()
    status, told = await api.get(f"/boards/changes?after={at.name}.{before}", **proof)
    assert (status, f"kitchen:{RESTAURANT}" in told["scopes"]) == (200, True)


async def test_a_kitchens_token_names_its_restaurant(api: Api) -> None:
    nobody = api.staff.issue(Role.KITCHEN, "somebody", "")
    claims = jwt.decode(nobody, options={"verify_signature": False})
    empty = jwt.encode({**claims, "restaurantId": ""}, "d" * 32, algorithm="HS256")
    for path in ("/api/kitchen/orders", "/kitchen/stream"):
        for token in (nobody, empty):
            status, answer = await api.get(path, token)
            assert (status, answer["code"]) == (401, "TOKEN_INVALID")


async def test_a_board_is_told_of_many_changes_at_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_streams, "MIN_INTERVAL_S", 0.2)
    feed = context_of(api).changes

    async def busy() -> None:
        while True:
            feed.note(f"kitchen:{RESTAURANT}")
            await asyncio.sleep(0.001)

    begun_s = time.monotonic()
    noise = asyncio.create_task(busy())
    looks = board_streams._board_events(feed, frozenset({"kitchen"}))
    for number in range(5):
        assert await anext(looks) == board_streams.BOARD_CHANGED
        assert time.monotonic() - begun_s >= number * 0.2
    noise.cancel()
    # The last change is told as well, and then there is nothing to tell.
    monkeypatch.setattr(board_streams, "HEARTBEAT_S", 0.01)
    told = [await anext(looks), await anext(looks), await anext(looks)]
    assert told[-1] is None
    feed.note(f"kitchen:{RESTAURANT}")
    assert await anext(looks) == board_streams.BOARD_CHANGED


class Counted:
    """Work that is asked for by many, and fails the first time."""

    def __init__(self) -> None:
        self.begun = 0
        self.askers: list[object] = []

    async def __call__(self, watch: SharedTask) -> None:
        self.begun += 1
        self.askers.append(watch.latest_request)
        if self.begun == 1:
            raise RuntimeError("the first time")
        await asyncio.Event().wait()


async def test_a_watch_works_once_for_all_who_ask_and_as_long_as_one_does() -> None:
    work = Counted()
    watch = SharedTask(work)
    first, second = cast(Any, object()), cast(Any, object())
    with watch.asked(first):
        await until_true(lambda: work.begun == 2)  # it was begun anew
        with watch.asked(second):
            assert watch.latest_request is second
        assert watch.latest_request is first
        assert work.begun == 2
    assert watch._task is None
    with watch.asked(second):
        await until_true(lambda: work.begun == 3)
    assert work.askers == [first, first, second]


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        ("/kitchen/stream", Role.COURIER, 403),
        ("/courier/stream", Role.KITCHEN, 403),
        ("/ops/stream", Role.KITCHEN, 403),
        ("/boards/changes", None, 401),
        ("/ops/stream", None, 401),
    ],
)
async def test_a_stream_is_for_those_whose_board_it_is(
    api: Api, path: str, role: Role | None, status: int
) -> None:
    token = api.staff.issue(role, "somebody", RESTAURANT) if role else None
    assert (await api.get(path, token))[0] == status


async def test_customers_do_not_hear_of_other_orders(api: Api) -> None:
    order = await api.order()
    for path in ("/boards/changes", "/kitchen/stream", "/ops/stream"):
        assert (await api.get(path, order["orderToken"]))[0] == 403


async def test_a_stream_does_not_pass_for_a_workers_question(api: Api) -> None:
    asked = {"Tiffin-Partitions": "0"}
    assert (await api.get("/ops/stream", api.operator, **asked))[0] == 400


async def test_streams_of_one_are_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_STREAMS_PER_OWNER", 2)
    async with (
        listening(api, "/courier/stream", Role.COURIER),
        listening(api, "/courier/stream", Role.COURIER),
    ):
        token = api.staff.issue(Role.COURIER, "somebody")
        status, problem = await api.get("/courier/stream", token)
        assert (status, problem["code"]) == (429, "TOO_MANY_STREAMS")
        headers = {"Authorization": f"Bearer {api.staff.issue(Role.COURIER, 'another')}"}
        async with api.client.get("/courier/stream", headers=headers) as another:
            assert another.status == 200


async def test_a_stream_that_was_left_is_not_kept(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.staff.board_streams.HEARTBEAT_S", 0.01)
    order = await api.order()
    monkeypatch.setattr("web.api.orders.HEARTBEAT_S", 0.01)
    context = context_of(api)
    async with listening(api, "/courier/stream", Role.COURIER):
        headers = {"Authorization": f"Bearer {order['orderToken']}"}
        async with api.client.get(f"/api/orders/{order['orderId']}/stream", headers=headers) as own:
            await next_event(own.content)
            assert context.streams.open.total() == 2
            own.close()
    await until_true(lambda: not context.streams.open.total())
    assert context.changes.following._task is None  # nobody follows the other workers any more


async def test_streams_end_with_the_worker(api: Api) -> None:
    async with listening(api, "/courier/stream", Role.COURIER) as content:
        assert api.client.app is not None
        await context_of(api).stop(api.client.app)
        async with asyncio.timeout(MAX_WAIT_S):
            await content.read()


async def test_a_board_hears_of_another_workers_orders(make_api: MakeApi) -> None:
    theirs = await make_api()
    world = InMemoryBackend()
    for table in world.tables.values():
        table.is_ours, table.owner = False, URL(theirs.client.make_url("/"))
    ours = await make_api(world)
    async with listening(ours, "/kitchen/stream", Role.KITCHEN, RESTAURANT) as content:
        # First it hears that it has begun to follow, then that nothing is known of what was before.
        heard = context_of(ours).changes.heard
        await until_true(lambda: list(heard._kept).count(EVERYTHING) >= 2)
        read = heard.last
        await theirs.order()
        await until_true(
            lambda: matches_any(heard.since(read), frozenset({f"kitchen:{RESTAURANT}"}))
        )
        assert EVERYTHING not in heard.since(read)
        assert BOARD_CHANGED in await next_event(content)
        # It dies: boards look, and go on looking, until there is another one.
        read = heard.last
        await theirs.client.close()
        await until_true(lambda: EVERYTHING in heard.since(read))


async def test_what_changed_is_told_from_where_a_worker_has_read(api: Api) -> None:
    feed = context_of(api).changes
    assert (await feed.told(""))["scopes"] == [EVERYTHING]
    at = str((await feed.told(""))["at"])
    waiting = asyncio.create_task(feed.told(at))
    await asyncio.sleep(0)
    await api.order()
    told = await waiting
    assert f"kitchen:{RESTAURANT}" in told["scopes"]  # type: ignore[operator]
    assert EVERYTHING not in told["scopes"]  # type: ignore[operator]
    for nonsense in ("another.3", f"{feed.name}.", f"{feed.name}.-1", f"{feed.name}.{'9' * 30}"):
        assert (await feed.told(nonsense))["scopes"] == [EVERYTHING]


def test_notes_that_were_pushed_out_are_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "MAX_RECENT_CHANGES", 3)
    notes = RecentChanges()
    for number in range(5):
        notes.add(f"kitchen:{number}")
    assert notes.since(2) == {"kitchen:2", "kitchen:3", "kitchen:4"}
    assert notes.since(5) == set()
    assert notes.since(1) == notes.since(6) == {EVERYTHING}
    assert matches_any({"kitchen:4"}, frozenset({"kitchen"}))
    assert not matches_any({"kitchen:4"}, frozenset({"kitchen:3", "courier"}))
