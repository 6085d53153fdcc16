"""The operators' overview, and the copy of it that all who have it open share for a moment."""

import time
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from models import ids
from web.http.auth import authorize_staff
from web.http.change_feed import OPERATIONS, RESTART_DELAY_S, ChangeFeed, SharedTask
from web.http.context import CONTEXT
from web.http.tokens import Role
from web.pages import interim
from web.pages.forms import answer_of, is_for_worker
from web.pages.render import render

PAGE_OF_API_PATH: Final = {
    "/api/ops/overview": "/ops",
    "/api/ops/stuck": "/ops/stuck",
    "/api/ops/lag": "/ops/lag",
    "/api/ops/dead-letters": "/ops/dead-letters",
    "/api/ops/reconciliation": "/ops/reconciliation",
}
"""Where the API says that a concern is shown -> its page."""
CONCERN_TEXTS: Final = {
    "STUCK": "Orders are stuck",
    "DEAD_LETTERS": "Dead letters are open",
    "CLOCK": "A clock is wrong",
    "LAG": "Records wait to be worked on",
    "KAFKA_UNAVAILABLE": "Kafka can't be reached",
    "PARTITIONS_STOPPED": "Partitions are stopped at something that can't be read",
    "PARTITIONS_UNSERVED": "Some partitions are served by nobody",
    "DIFFERENCES": "Money differs from Stripe's",
    "RECONCILIATION_UNFINISHED": "The comparison with Stripe is not complete",
}


async def show_overview(request: web.Request) -> web.StreamResponse:
    """Healthy or not, at one glance; 204 when the browser has just this one."""
    glance, asked = request.app[OVERVIEW_SNAPSHOT], request.query.get("seen")
    identity = await authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)
    found = glance.latest() if asked is not None and not is_for_worker(request) else None
    if found is None:
        answer = await interim.handler("show_overview")(request)
        if is_for_worker(request):
            return answer
        found = answer_of(answer)
    seen = overview_fingerprint(found)
    if asked == seen:
        return web.Response(status=204)
    return render(
        request, "ops_overview.html", identity=identity, found=found, seen=seen, places=PAGE_OF_API_PATH,
        concerns=CONCERN_TEXTS,
    )  # fmt: skip


OVERVIEW: Final = "/api/ops/overview"


@dataclass(slots=True)
class _Snapshot:
    overview: dict[str, Any]
    at_s: float


class OverviewSnapshot:
    """The overview as it was a moment ago, looked at once for all who have it open."""

    def __init__(self, changes: ChangeFeed) -> None:
        self.watch = SharedTask(self._look)
        self._changes = changes
        self._snapshot: _Snapshot | None = None

    def latest(self) -> dict[str, Any] | None:
        """The overview, unless it is old."""
        seen = self._snapshot
        return (
            seen.overview if seen and time.monotonic() - seen.at_s < 2 * RESTART_DELAY_S else None
        )

    async def _look(self, watch: SharedTask) -> None:
        """Once; the watch does it again and again."""
        request = watch.latest_request.clone(rel_url=OVERVIEW)
        found = answer_of(await interim.handler("show_overview")(request))
        before, self._snapshot = self._snapshot, _Snapshot(found, time.monotonic())
        if before is None or overview_fingerprint(before.overview) != overview_fingerprint(found):
            self._changes.heard.add(OPERATIONS)


def overview_fingerprint(overview: dict[str, Any]) -> str:
    """The same for overviews that say the same."""
    return ids.derive_id("board", {**overview, "at": ""})


OVERVIEW_SNAPSHOT: Final = web.AppKey("glance", OverviewSnapshot)
