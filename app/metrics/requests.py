"""Requests: how long those took that are answered here or made to Stripe, and what browsers report."""

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.families import Histogram, values
from web.api import csp_reports

METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})
OTHER: Final = "other"
"""Label of methods that HTTP does not have: their number has no bound."""


class HttpMetrics(Collector):
    """Requests by their route's template: a path would be a label without bound, and may hold a secret."""

    def __init__(self) -> None:
        self._duration = Histogram("tiffin_http_request_duration_seconds")

    def answered(self, method: str, route: str, status: int, took_s: float, trace_id: str) -> None:
        """Count a request. route: its template; trace_id: of its trace, "" where there is none."""
        known = method if method in METHODS else OTHER
        self._duration.observe(took_s, known, route, f"{status // 100}xx", trace_id=trace_id)

    def collect(self) -> Iterator[Metric]:
        """Since the worker's start."""
        yield from self._duration.collect()


class CspMetrics(Collector):
    """What browsers report that a page's Content-Security-Policy has blocked."""

    def __init__(self) -> None:
        # All from the start, so that a rate has a beginning.
        every = product(csp_reports.LABELS, csp_reports.PAGES)
        self._blocked = Counter(dict.fromkeys(every, 0))

    def reported(self, directive: str, page: str, count: int) -> None:
        """Count reports. directive, page: of the lists of web/api/csp_reports.py."""
        self._blocked[directive, page] += count

    def collect(self) -> Iterator[Metric]:
        """Since the worker's start."""
        yield values("tiffin_csp_reports_total", self._blocked)


class StripeMetrics(Collector):
    """Requests to Stripe."""

    def __init__(self) -> None:
        self._duration = Histogram("tiffin_stripe_request_duration_seconds")

    def answered(self, operation: str, outcome: str, took_s: float) -> None:
        """Count a request by what it did and how it ended."""
        self._duration.observe(took_s, operation, outcome)

    def collect(self) -> Iterator[Metric]:
        """Since the worker's start."""
        yield from self._duration.collect()
