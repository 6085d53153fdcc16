"""Alerts, their runbooks and the dashboards: well-formed, of metrics that there are, and of commands too."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from app import cli
from app.metrics.catalogue import METRICS
from tests.support.monitoring import (
    DASHBOARDS,
    MONITORING,
    ROOT,
    RUNBOOKS,
    Alert,
    alerts,
    dashboard,
    expressions,
    metric_of,
    series_named,
)
from tests.support.promtool import promtool

HEADINGS = ["What customers feel", "How to see it", "What to do"]
COMMAND = re.compile(r"`faust -A app ([^`]+)`")
RUNBOOK_PAGES = sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "README.md")


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    status, said = promtool("check", "config", str(MONITORING / "prometheus.yml"))
    assert status == 0, said
    assert f"{len(alerts())} rules found" in said


def test_each_alert_fires_where_it_should_and_none_where_all_is_well() -> None:
    status, said = promtool("test", "rules", str(MONITORING / "alerts_test.yml"))
    assert status == 0, said


def test_each_alert_is_tested_both_ways() -> None:
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    well = [each["alertname"] for each in tests[0]["alert_rule_test"]]
    firing = [test["alert_rule_test"][0]["alertname"] for test in tests[1:]]
    assert all(test["alert_rule_test"][0]["exp_alerts"] for test in tests[1:])
    names = [alert.name for alert in alerts()]
    assert well == firing == names
    assert len(set(names)) == len(names)


def test_rules_and_dashboards_name_metrics_of_the_catalogue() -> None:
    assert {metric_of(series) for series in series_named()} <= set(METRICS)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_queries_of_a_dashboard_can_be_read(path: Path, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:query_{number}", "expr": text.replace("$__rate_interval", "1m")}
        for number, text in enumerate(expressions(path))
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": path.stem, "rules": rules}]}))
    status, said = promtool("check", "rules", "--lint=none", str(file))
    assert status == 0, said


def test_dashboards_are_provisioned_with_the_source_that_they_name() -> None:
    provisioning = MONITORING / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "datasources.yml").read_text())
    uids = {source["uid"] for source in sources["datasources"]}
    seen: set[str] = set()
    for path in DASHBOARDS:
        found = dashboard(path)
        assert found["uid"] not in seen
        seen.add(found["uid"])
        assert {panel["datasource"]["uid"] for panel in found["panels"]} <= uids
        places = [tuple(panel["gridPos"].values()) for panel in found["panels"]]
        assert len(set(places)) == len(places)
    assert seen == {"tiffin-platform", "tiffin-engine", "tiffin-money", "tiffin-stripe"}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_an_alert_leads_to_its_runbook(alert: Alert) -> None:
    page = RUNBOOKS / alert.runbook.rpartition("/")[2]
    assert alert.runbook == f"{{{{ $externalLabels.docs }}}}/runbooks/{page.name}"
    text = page.read_text()
    assert text.startswith(f"# {alert.name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert f"`{alert.expr}`" in text, "the page shows the rule as it is"
    assert f"({page.name})" in (RUNBOOKS / "README.md").read_text()


def test_a_runbook_is_an_alerts() -> None:
    pages = {alert.runbook.rpartition("/")[2] for alert in alerts()}
    assert {page.name for page in RUNBOOK_PAGES} == pages


@pytest.fixture(scope="module")
def commands() -> click.Group:
    for module in set(cli.MODULES.values()):
        import_module(f"app.cli.{module}")
    return cli.GROUP


@pytest.mark.parametrize("page", RUNBOOK_PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_runbook_are_there(page: Path, commands: click.Group) -> None:
    for line in COMMAND.findall(page.read_text()):
        name, *arguments = shlex.split(line)
        command: Any = commands.commands[name]
        with click.Context(command) as context:
            command.parse_args(context, list(arguments))


def test_compose_mounts_what_is_there() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["watch"]
        for volume in services[name]["volumes"]:
            source, _, mode = volume.split(":")
            assert (ROOT / source).is_dir()
            assert mode == "ro"
