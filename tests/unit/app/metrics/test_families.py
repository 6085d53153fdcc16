"""Our histogram against Prometheus' own, and what an observation costs, counted."""

from __future__ import annotations

import cProfile
import pstats

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as ReferenceHistogram
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from app.metrics.catalogue import METRICS
from app.metrics.engine import EngineMetrics
from app.metrics.families import Histogram
from tables import CommitReport

NAME = "tiffin_timers_lateness_seconds"
MAX_CALLS_PER_COMMIT_BATCH = 30
"""Of functions, Python's and C's. One input may be a commit batch, and its decision takes some hundred."""


def text(*collectors: object) -> bytes:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)


@given(st.lists(st.tuples(st.sampled_from(["A", "B"]), st.floats(0, 10_000)), max_size=30))
def test_it_counts_as_prometheus_own_does(observed: list[tuple[str, float]]) -> None:
    spec = METRICS[NAME]
    theirs = ReferenceHistogram(
        spec.name, spec.about, spec.labels, buckets=spec.buckets, registry=None
    )
    ours = Histogram(NAME, "A")
    theirs.labels("A")
    for label, value in observed:
        ours.observe(value, label)
        theirs.labels(label).observe(value)
    created = f"{NAME}_created".encode()
    lines = [line for line in text(theirs).splitlines() if created not in line]
    assert text(ours).splitlines() == lines


def test_a_trace_is_the_exemplar_of_its_bucket_where_openmetrics_is_asked_for() -> None:
    histogram = Histogram(NAME)
    histogram.observe(0.2, "KITCHEN", trace_id="a" * 32)
    registry = CollectorRegistry()
    registry.register(histogram)
    lines = generate_openmetrics(registry).decode().splitlines()  # type: ignore[no-untyped-call]
    (exemplar,) = [line for line in lines if " # " in line]
    assert 'le="0.25"' in exemplar
    assert f'# {{trace_id="{"a" * 32}"}} 0.2' in exemplar
    assert b" # " not in text(histogram)


def test_a_commit_batch_costs_few_calls() -> None:
    metrics = EngineMetrics()
    report = CommitReport("payments", 3, 1_700_000_000_000, 0.002, 0.0001, 0.003)
    metrics.commit_batch(report)  # what is made once
    profile = cProfile.Profile()
    profile.enable()
    metrics.commit_batch(report)
    profile.disable()
    assert pstats.Stats(profile).total_calls <= MAX_CALLS_PER_COMMIT_BATCH  # type: ignore[attr-defined]
