"""The alert rules and the dashboard speak of metrics that there are, and the operations page speaks of all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import combinations
from typing import Any

import pytest
import yaml
from prometheus_client import Metric

from include.api.metric_families import families
from include.local.home import PROJECT
from include.shifts.unfired import Unfired
from include.store.db import DictConnection
from include.store.health import Sign
from include.store.metrics import Airflow, Ended, Readings
from tests.api_client import api_of

pytestmark = pytest.mark.xdist_group("api")

DEPLOY = PROJECT / "deploy"
PAGE = (PROJECT / "docs" / "operations.md").read_text("utf-8")
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "millrace.json").read_text("utf-8"))
[_GROUP] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text("utf-8"))["groups"]
RULES: list[dict[str, Any]] = _GROUP["rules"]
TESTS: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.test.yaml").read_text("utf-8"))["tests"]
NOW = datetime.now(timezone.utc)


def exposed() -> list[Metric]:
    """All metrics, of a system in which everything has a value."""
    row = {"id": 1, "failures": 1, "succeeded_at": 1.0, "head": 1, "pulled_seconds": 1.0}
    behind = {"id": 1, "behind": 1, "behind_seconds": 1.0, "moved_seconds": 1.0}
    readings = Readings(
        totals={("job", "success", 1): Ended(1, 1, 0.1)},
        bounds=[0.01],
        jobs={},
        each_job=[row],
        timers={"pending": 1, "late_seconds": 0.0},
        dead_letters={"job": 1},
        connectors={},
        each_connector=[row],
        workflows={},
        each_workflow=[behind],
        warnings={},
        rows={"job": 1},
        built_seconds=1.0,
        airflow=Airflow({}, 1.0),
    )
    return list(families(readings, {"triggerer": Sign(NOW, is_alive=True)}, NOW, Unfired(1, NOW, 1.0), 0.1))


LABELS = {sample.name: set(sample.labels) for metric in exposed() for sample in metric.samples}


def exposed_name(metric: Metric) -> str:
    """The name that the text has for a family."""
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def expressions() -> Iterator[str]:
    for rule in RULES:
        yield rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


@pytest.mark.parametrize("expression", list(expressions()))
def test_what_rules_and_panels_ask_for_is_there(expression: str) -> None:
    """Every metric that is named is exposed, with the labels by which it is selected, added up or called."""
    names = re.findall(r"\bmillrace_\w+", expression)
    assert names
    for name, selected in re.findall(r"\b(millrace_\w+)(?:\{([^}]*)\})?", expression):
        assert name in LABELS, name
        assert set(re.findall(r"(\w+)\s*=", selected)) <= LABELS[name]
    grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}
    assert grouped <= set.union(*(LABELS[name] for name in names))


def test_every_metric_that_is_exposed_by_the_endpoint_is_known(database_url: str, db: DictConnection) -> None:
    """The endpoint itself exposes what the tests here go by, but for what only Airflow knows."""
    db.execute("insert into job (name, kind) values ('a', 'ping')")
    db.execute("insert into connector (name, kind) values ('c', 'rest')")
    db.execute("insert into workflow (name, connector_id, kind) values ('w', 1, 'webhook')")
    with api_of(database_url) as api:
        text = api.as_(None).get("//metrics").text
    typed = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    of_airflow = {"millrace_shifts_on_duty", "millrace_bundle_refresh_age_seconds"}
    known = set(map(exposed_name, exposed()))
    assert typed == known - of_airflow


def test_the_operations_page_has_every_metric_with_its_labels() -> None:
    """And none that is not."""
    table = {
        name: set(re.findall(r"`(\w+)`", line.split("|")[2]))
        for line in PAGE.splitlines()
        if line.startswith("| `millrace_") and line.count("|") == 4
        for name in re.findall(r"`(millrace_\w+)`", line.split("|")[1])
    }
    assert table == {
        exposed_name(metric): set().union(*(sample.labels for sample in metric.samples)) - {"le"}
        for metric in exposed()
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    """Summary, description and a section of the operations page by its name; a severity, and some patience."""
    name = rule["alert"]
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
    assert f"\n### {name}\n\n" in PAGE
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["for"]


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """As `promtool test rules` runs them."""
    cases = [case for test in TESTS for case in test["alert_rule_test"]]
    for rule in RULES:
        expected = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]]
        assert set(expected) == {True, False}, rule["alert"]
    assert {case["alertname"] for case in cases} == {rule["alert"] for rule in RULES}
    assert set(re.findall(r"^### (Millrace\w+)$", PAGE, re.MULTILINE)) == {rule["alert"] for rule in RULES}


def test_the_series_of_these_cases_are_metrics_that_there_are() -> None:
    """An alert that fires for a series that nobody exposes would fire in tests only."""
    for series in (series["series"] for test in TESTS for series in test["input_series"]):
        name, _, labels = series.partition("{")
        assert set(re.findall(r"(\w+)=", labels)) == LABELS[name], series


def test_the_dashboard_is_one_that_grafana_can_import() -> None:
    """Its panels have ids of their own and do not overlap; all ask the data source that is chosen."""
    assert DASHBOARD["schemaVersion"] >= 39
    [variable] = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_the_scrape_configuration_goes_where_the_metrics_are() -> None:
    """By the path that Airflow mounts, with the rules that lie beside it."""
    wanted = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text("utf-8"))
    assert [job["metrics_path"] for job in wanted["scrape_configs"]] == ["/millrace/metrics"]
    assert all((DEPLOY / "prometheus" / name).is_file() for name in wanted["rule_files"])


def test_ci_checks_the_rules() -> None:
    """With promtool, where it can be had."""
    assert "\n.ci/promtool\n" in (PROJECT / ".ci" / "run").read_text("utf-8")
