"""How much one client may ask for: so that nobody uses up Stripe's rate, our memory or our sockets alone.

A client is an address (an IPv6 client its /64, which is what one customer gets). A request that another
worker passes on was counted there. What machines watch is not counted, and Stripe's webhooks only while they
are open: their rate is Stripe's. Webhooks that are not signed by Stripe are counted.
"""

import functools
import hmac
import ipaddress
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiohttp import web

from web.http.problems import ProblemError

WORKER_HEADER: Final = "Tiffin-Worker"
"""Shown by workers to each other alone: its sender is one of them."""
BAD_WEBHOOKS_PER_MIN: Final = 60
"""Of one address; Stripe's own has none."""
CSP_REPORTS_PER_MIN: Final = 60
"""Of one address: a page sends a few at most."""
MAX_CLIENTS: Final = 20_000
"""Remembered; beyond that the one that was silent longest is forgotten."""
RETRY_AFTER_FULL_S: Final = 5
"""When to come again with too many requests open."""


class RequestKind(StrEnum):
    """What is counted apart. CREATE: what opens a payment at Stripe."""

    CREATE = "CREATE"
    WRITE = "WRITE"
    READ = "READ"
    BAD_WEBHOOK = "BAD_WEBHOOK"
    CSP_REPORT = "CSP_REPORT"


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Requests of one client: a minute, by kind, and open at one time; 0: as many as it likes.

    A minute's worth may come at once. trusted_proxies: how many proxies of ours stand before the
    workers; each adds the address it sees to X-Forwarded-For.
    """

    creates_per_min: float = 0
    writes_per_min: float = 0
    reads_per_min: float = 0
    bad_webhooks_per_min: float = 0
    csp_reports_per_min: float = 0
    at_once: int = 0
    trusted_proxies: int = 0


class ClientRateLimiter:
    """Token buckets by client and kind, and a count of open requests by client. For one event loop."""

    def __init__(
        self,
        limits: ClientLimits,
        worker_proof: str,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """worker_proof: what `WORKER_HEADER` must say."""
        self.open: Counter[str] = Counter()
        self._limits, self._proof, self._now_s = limits, worker_proof, now_s
        self._per_min = {
            RequestKind.CREATE: limits.creates_per_min,
            RequestKind.WRITE: limits.writes_per_min,
            RequestKind.READ: limits.reads_per_min,
            RequestKind.BAD_WEBHOOK: limits.bad_webhooks_per_min,
            RequestKind.CSP_REPORT: limits.csp_reports_per_min,
        }
        self._buckets: OrderedDict[tuple[str, RequestKind], tuple[float, float]] = OrderedDict()

    def client_of(self, request: web.Request) -> str | None:
        """Whose request it is; None for one that is not counted here."""
        proof = request.headers.get(WORKER_HEADER)
        if proof and hmac.compare_digest(proof.encode(), self._proof.encode()):
            return None
        address = request.remote or "unknown"
        if proxies := self._limits.trusted_proxies:
            # From the right: what stands to the left of our own proxies' words anybody may have written.
            said = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
            address = said[-proxies].strip() if len(said) >= proxies else address
        return client_network(address)

    def take(self, client: str | None, kind: RequestKind) -> None:
        """Count a request of a client. Raises ProblemError (429) when there were too many."""
        per_min = self._per_min[kind]
        if client is None or not per_min:
            return
        now_s = self._now_s()
        tokens = self._tokens(client, kind, now_s)
        is_allowed = tokens >= 1
        self._buckets.pop((client, kind), None)
        self._buckets[client, kind] = (tokens - is_allowed, now_s)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if not is_allowed:
            raise _too_many(tokens, per_min)

    def check(self, request: web.Request, kind: RequestKind) -> None:
        """Refuse a client that may have no other; this one is not counted. Raises ProblemError (429)."""
        client, per_min = self.client_of(request), self._per_min[kind]
        if client is not None and per_min:
            tokens = self._tokens(client, kind, self._now_s())
            if tokens < 1:
                raise _too_many(tokens, per_min)

    def _tokens(self, client: str, kind: RequestKind, now_s: float) -> float:
        """How many requests of the kind the client may make now."""
        per_min = self._per_min[kind]
        tokens, at_s = self._buckets.get((client, kind), (per_min, now_s))
        return min(per_min, tokens + (now_s - at_s) * per_min / 60)

    def admitted(self, client: str) -> AbstractContextManager[None]:
        """Count a request as open. Raises ProblemError (429) when too many are."""
        if 0 < self._limits.at_once <= self.open[client]:
            raise ProblemError(
                "TOO_MANY_REQUESTS", "Too many are open.", retry_after_s=RETRY_AFTER_FULL_S
            )
        return counted(self.open, client)


@contextmanager
def counted(open_by_client: Counter[str], client: str) -> Iterator[None]:
    """Count something of a client's as open for a while."""
    open_by_client[client] += 1
    try:
        yield
    finally:
        open_by_client[client] -= 1
        if not open_by_client[client]:
            del open_by_client[client]


def _too_many(tokens: float, per_min: float) -> ProblemError:
    wait_s = math.ceil((1 - tokens) * 60 / per_min)
    return ProblemError("TOO_MANY_REQUESTS", retry_after_s=max(1, wait_s))


@functools.lru_cache(MAX_CLIENTS)
def client_network(address: str) -> str:
    """What of an address one client has: all of it, or an IPv6 address' /64."""
    bare = address.partition(":")[0] if address.count(":") == 1 else address  # some add the port
    try:
        parsed = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)
