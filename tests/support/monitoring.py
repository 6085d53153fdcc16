"""What monitoring/ holds: alert rules and dashboards, and the metrics that they name."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
RUNBOOKS = ROOT / "docs" / "runbooks"
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
METRIC = re.compile(r"\btiffin_[a-z_]+")
SERIES_OF_HISTOGRAMS = ("_bucket", "_count", "_sum")


class Alert(NamedTuple):
    """One rule."""

    name: str
    expr: str
    severity: str
    runbook: str
    summary: str


@cache
def alerts() -> tuple[Alert, ...]:
    """All rules of alerts.yml."""
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return tuple(
        Alert(
            rule["alert"], rule["expr"], rule["labels"]["severity"],
            rule["annotations"]["runbook_url"], rule["annotations"]["summary"],
        )
        for group in groups
        for rule in group["rules"]
    )  # fmt: skip


def dashboard(path: Path) -> dict[str, Any]:
    """A dashboard's JSON."""
    return dict(json.loads(path.read_text()))


def expressions(path: Path) -> list[str]:
    """All queries of a dashboard."""
    panels = dashboard(path)["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def series_named() -> set[str]:
    """Names of series in rules and dashboards."""
    texts = [alert.expr for alert in alerts()]
    texts += [text for path in DASHBOARDS for text in expressions(path)]
    return {name for text in texts for name in METRIC.findall(text)}


def metric_of(series: str) -> str:
    """The metric that a series belongs to: a histogram has several."""
    for suffix in SERIES_OF_HISTOGRAMS:
        if series.endswith((f"_seconds{suffix}", f"_inputs{suffix}")):
            return series.removesuffix(suffix)
    return series
