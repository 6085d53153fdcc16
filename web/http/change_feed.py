"""Notifies boards of changes, in this worker's tables and in the other workers'.

A worker notes what its own partitions store, by scope ("kitchen:<restaurant>", "courier:<courier>"),
whoever listens; a board is notified of its own scopes alone. Only while somebody has a board open does
it also follow the others: one long poll a worker, however many boards are open. A change says that one
should look, nothing else, so it may come once too often; what was missed (a worker that died,
partitions that moved, a change that was pushed out) is reported as `EVERYTHING`.
"""

import asyncio
import logging
import uuid
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

import orjson
from aiohttp import web
from yarl import URL

from models.delivery import Delivery, DeliveryRecord
from models.graphs import DeliveryStatus
from models.order import OrderRecord
from tables import StoredRecord
from web.http.decoding import DecodingError, whole_number
from web.http.deps import WebDeps
from web.http.forwarding import Forwarder

EVERYTHING: Final = "*"
KITCHEN, COURIER, OPERATIONS = "kitchen", "courier", "operations"
ANY_COURIER: Final = f"{COURIER}:"
"""Of deliveries that wait for a courier, which all of them see."""
CHANGES_URL: Final = URL("/boards/changes")
"""Where workers hold a request at one another."""
LONG_POLL_S: Final = 20.0
"""How long such a request is held when nothing happens."""
COALESCE_S: Final = 0.15
"""Changes within so long are reported together: those of one tap, or of a busy hour."""
PEER_REFRESH_S: Final = 1.0
RESTART_DELAY_S: Final = 2.0
MAX_RECENT_CHANGES: Final = 4096

log = logging.getLogger("tiffin.web.changes")


class RecentChanges:
    """The latest scopes that changed, in order; readers keep the number that they have read up to."""

    def __init__(self) -> None:
        self.last = 0
        self._kept: deque[str] = deque(maxlen=MAX_RECENT_CHANGES)
        self._news = asyncio.Event()

    def add(self, scope: str) -> None:
        """Note a change."""
        self.last += 1
        self._kept.append(scope)
        self._news.set()

    def since(self, number: int) -> set[str]:
        """Scopes that changed after that number; EVERYTHING when not all of them are known."""
        missed = self.last - number
        if not 0 <= missed <= len(self._kept):
            return {EVERYTHING}
        return set(islice(reversed(self._kept), missed))

    async def wait(self, number: int, within_s: float) -> None:
        """Wait for a change after that number, and a moment for what comes along with it."""
        try:
            async with asyncio.timeout(within_s):
                while self.last <= number:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return
        await asyncio.sleep(COALESCE_S)


def matches_any(changed: Iterable[str], wanted: frozenset[str]) -> bool:
    """Whether one who wants these scopes should look; "kitchen" is every kitchen's."""
    return any(
        scope == EVERYTHING or scope in wanted or scope.partition(":")[0] in wanted
        for scope in changed
    )


class SharedTask:
    """Work that goes on as long as somebody asks for it, once for all who ask.

    What it asks of other workers it asks with the headers of the one who came last, so it may see
    what that one may. It is begun anew when it fails.
    """

    def __init__(self, work: Callable[["SharedTask"], Awaitable[None]]) -> None:
        self._work = work
        self._requests: dict[int, web.Request] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def latest_request(self) -> web.Request:
        """Who came last."""
        return next(reversed(self._requests.values()))

    @contextmanager
    def asked(self, request: web.Request) -> Iterator[None]:
        """Keep the work going."""
        self._requests[id(request)] = request
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            del self._requests[id(request)]
            if not self._requests:
                self._task.cancel()
                self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._work(self)
            except Exception as error:  # noqa: BLE001 - boards are looked at anew all the same
                log.warning("watch failed", extra={"error": type(error).__name__})
            await asyncio.sleep(RESTART_DELAY_S)


class ChangeFeed:
    """own: of this worker's partitions. heard: of all workers', as long as anybody follows."""

    def __init__(self, deps: WebDeps, forwarder: Forwarder, service: str) -> None:
        """service: whose partitions say which workers there are."""
        self.name = uuid.uuid4().hex[:12]
        self.own, self.heard = RecentChanges(), RecentChanges()
        self.following = SharedTask(self._follow)
        self._deps, self._forwarder = deps, forwarder
        self._table = deps.tables[service]

    def note(self, scope: str) -> None:
        """Something of this worker's has changed."""
        self.own.add(scope)
        self.heard.add(scope)

    def stop(self) -> None:
        """Let everybody who waits look once more: this worker ends."""
        self.note(EVERYTHING)

    async def told(self, after: str) -> dict[str, object]:
        """What changed here after such a place, at once or as soon as there is something."""
        name, _, text = after.partition(".")
        try:
            number = whole_number(text, 0, self.own.last) if name == self.name else -1
        except DecodingError:
            number = -1
        if number >= 0:
            await self.own.wait(number, LONG_POLL_S)
        at = f"{self.name}.{self.own.last}"
        return {"at": at, "scopes": sorted(self.own.since(number))}

    async def _follow(self, watch: SharedTask) -> None:
        """Hold a request at each other worker; they come and go."""
        hearing: dict[URL, asyncio.Task[None]] = {}
        try:
            while True:
                peers = self._peers()
                for peer in [peer for peer, task in hearing.items() if task.done()]:
                    del hearing[peer]  # it failed, and is begun anew
                if peers != hearing.keys():
                    self.heard.add(EVERYTHING)
                for peer in hearing.keys() - peers:
                    hearing.pop(peer).cancel()
                for peer in peers - hearing.keys():
                    hearing[peer] = asyncio.create_task(self._poll_peer(watch, peer))
                await asyncio.sleep(PEER_REFRESH_S)
        finally:
            for task in hearing.values():
                task.cancel()

    def _peers(self) -> set[URL]:
        owners = {self._table.owner_of_partition(p) for p in range(self._table.partitions)}
        return {owner for owner in owners if owner and owner != self._deps.own_url}

    async def _poll_peer(self, watch: SharedTask, peer: URL) -> None:
        after = ""
        while True:
            url = peer.join(CHANGES_URL.with_query(after=after))
            body = await self._forwarder.ask(watch.latest_request, url, {}, LONG_POLL_S * 2)
            try:
                told = orjson.loads(body or b"")
                after, scopes = str(told["at"]), [str(scope) for scope in told["scopes"]]
            except (ValueError, KeyError, TypeError):
                after, scopes = "", [EVERYTHING]
                await asyncio.sleep(RESTART_DELAY_S)
            for scope in scopes:
                self.heard.add(scope)


class ChangeListener:
    """Listener of orders' and deliveries' tables, which leave a partition together."""

    def __init__(self, changes: ChangeFeed) -> None:
        self._changes = changes
        self._waiting: defaultdict[int, set[str]] = defaultdict(set)

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Note a change for the order's kitchen, or for the couriers who see the delivery."""
        if isinstance(record.state, DeliveryRecord):
            self._note_delivery(self._waiting[partition], key, record.state.delivery)
        elif isinstance(record.state, OrderRecord):
            known = record.state.placed or record.state.order
            if known is not None:
                self._changes.note(f"{KITCHEN}:{known.restaurant_id}")

    def closed(self, partition: int) -> None:
        """Another worker notes its changes now."""
        self._waiting.pop(partition, None)
        self._changes.note(EVERYTHING)

    def _note_delivery(self, waiting: set[str], key: str, delivery: Delivery | None) -> None:
        """For all couriers if it waits for one, or just did; and for its courier."""
        waited = key in waiting
        waits = delivery is not None and delivery.status is DeliveryStatus.PENDING
        (waiting.add if waits else waiting.discard)(key)
        if waits or waited:
            self._changes.note(ANY_COURIER)
        if delivery is not None and delivery.courier_id is not None:
            self._changes.note(f"{COURIER}:{delivery.courier_id}")
