"""Histograms of requests: those that are answered here, and those that are made to Stripe."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.families import Histogram

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
