"""The catalogue of metrics: names after Prometheus' rules, and a reference page that is up to date."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.catalogue import METRICS, SECTIONS, Kind, Spec
from app.metrics.families import Histogram, values
from app.metrics.reference import COMMAND, reference
from app.metrics.worker import name_of_counter
from tables import Counters
from tests.support.promtool import promtool

DOCS = Path(__file__).parents[4] / "docs"
NO_BASE_UNITS = re.compile(
    r"_(ms|millis|milliseconds|minutes|hours|days|kb|kilobytes|mb|percent)(_|$)"
)


def shown(spec: Spec) -> list[Metric]:
    """The metric with a value."""
    labels = tuple(f"a-{name}" for name in spec.labels)
    if spec.kind is not Kind.HISTOGRAM:
        return [values(spec.name, {labels: 1})]
    histogram = Histogram(spec.name)
    histogram.observe(0.3, *labels)
    return list(histogram.collect())


class Everything(Collector):
    def collect(self) -> list[Metric]:
        return [metric for spec in METRICS.values() for metric in shown(spec)]


def test_every_counter_of_the_engine_is_in_the_catalogue() -> None:
    wanted = {name_of_counter(field.name) for field in dataclasses.fields(Counters)}
    assert wanted == {name for name in METRICS if name.startswith("tiffin_engine_")}


def test_promtool_finds_nothing_wrong_with_any_metric() -> None:
    registry = CollectorRegistry()
    registry.register(Everything())
    status, said = promtool("check", "metrics", given=generate_latest(registry))
    assert (status, said) == (0, "")


@pytest.mark.parametrize("spec", METRICS.values(), ids=lambda spec: spec.name)
def test_a_metric_is_named_after_the_rules(spec: Spec) -> None:
    """https://prometheus.io/docs/practices/naming/, for where promtool can't be had."""
    assert re.fullmatch(r"tiffin(_[a-z]+)+", spec.name)
    assert spec.name.endswith("_total") is (spec.kind is Kind.COUNTER)
    assert not NO_BASE_UNITS.search(spec.name)
    assert not re.search(r"_(count|sum|bucket|info)$", spec.name)
    assert spec.about
    assert not spec.about.endswith(".")
    assert all(re.fullmatch(r"[a-z]+", label) for label in spec.labels)
    assert "le" not in spec.labels
    assert list(spec.buckets) == sorted(set(spec.buckets))
    assert bool(spec.buckets) is (spec.kind is Kind.HISTOGRAM)
    # Times are seconds and say so; what is counted needs no unit.
    if spec.buckets and "inputs" not in spec.name.rsplit("_", 1)[-1]:
        assert spec.name.endswith("_seconds")


def test_no_name_is_there_twice() -> None:
    assert len(METRICS) == sum(map(len, SECTIONS.values()))


def test_the_reference_is_what_the_catalogue_says() -> None:
    assert (DOCS / "metrics.md").read_text() == reference(), f"run {COMMAND}"
