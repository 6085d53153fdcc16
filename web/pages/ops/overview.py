"""The operators' overview, and the copy of it that all who have it open share for a moment."""

import math
import time
from typing import Any, Final

from aiohttp import web

from models import ids
from web.http.answers import as_json
from web.http.change_feed import OPERATIONS, RESTART_DELAY_S, ChangeFeed, SharedTask
from web.http.dispatch import given_by
from web.http.route import AnyCall, Call, Route, context_of
from web.http.scatter_gather import PARTITIONS
from web.ops.overview import Overview, ShowOverview
from web.pages.ops.lists import OPERATORS
from web.pages.render import render

PAGE_OF_API_PATH: Final = {"/api/ops/overview": "/ops"} | {
    f"/api/ops/{name}": f"/ops/{name}"
    for name in ("stuck", "lag", "dead-letters", "reconciliation")
}
"""Where the API says that a concern is shown -> its page."""
CONCERN_TEXTS: Final = {
    "STUCK": "Orders are stuck",
    "DEAD_LETTERS": "Dead letters are open",
    "CLOCK": "A clock is wrong",
    "STRIPE_ACCOUNT": "The Stripe account or its webhook endpoint is not set up correctly",
    "OVERLOADED": "New orders are being refused because of overload",
    "LAG": "Records are waiting to be processed",
    "KAFKA_UNAVAILABLE": "Kafka can't be reached",
    "PARTITIONS_STOPPED": "Partitions have stopped at a record that can't be processed",
    "PARTITIONS_UNSERVED": "Some partitions have no worker",
    "DIFFERENCES": "Our figures differ from Stripe's",
    "RECONCILIATION_UNFINISHED": "The comparison with Stripe is not complete",
}


class OverviewSnapshot:
    """The overview as it was a moment ago, made once for all who have it open."""

    def __init__(self, changes: ChangeFeed) -> None:
        self.watch = SharedTask(self._look)
        self._changes = changes
        self._latest: Overview | None = None
        self._made_s = -math.inf

    def latest(self) -> Overview | None:
        """The overview, unless it is old."""
        return self._latest if time.monotonic() - self._made_s < 2 * RESTART_DELAY_S else None

    async def _look(self, watch: SharedTask) -> None:
        """Once; the watch repeats it. The other workers are asked as the API asks them."""
        request = watch.latest_request.clone(rel_url="/api/ops/overview")
        call: AnyCall = Call(context_of(request), request, ROUTE)
        # The other workers would refuse a token that has ended meanwhile: their part would be missing.
        await OPERATORS.check(call)
        found = await ShowOverview(call).collect()
        before, self._latest, self._made_s = self._latest, found, time.monotonic()
        if before is None or fingerprint(before) != fingerprint(found):
            self._changes.heard.add(OPERATIONS)


OVERVIEW_SNAPSHOT: Final = web.AppKey("overview snapshot", OverviewSnapshot)


def fingerprint(overview: Overview) -> str:
    """The same for overviews that differ in their time alone."""
    return ids.derive_id("board", {**as_json(overview), "at": ""})


async def overview_or_snapshot(call: AnyCall) -> Any:
    """The overview; for a page that looks again, the latest snapshot will do."""
    request = call.request
    looks_again = "seen" in request.query and PARTITIONS not in request.headers
    latest = request.app[OVERVIEW_SNAPSHOT].latest() if looks_again else None
    return latest or await given_by(ShowOverview, call)


def show_overview(call: AnyCall, overview: Overview) -> web.Response:
    """Whether all is well, and what is not; 204 when the browser has just this."""
    seen = fingerprint(overview)
    if call.request.query.get("seen") == seen:
        return web.Response(status=204)
    return render(
        call.request, "ops_overview.html", identity=call.identity, found=as_json(overview), seen=seen,
        places=PAGE_OF_API_PATH, concerns=CONCERN_TEXTS,
    )  # fmt: skip


ROUTE: Final = Route(
    method="GET", path="/ops", run=overview_or_snapshot, access=OPERATORS, renderer=show_overview,
    is_page=True,
)  # fmt: skip
