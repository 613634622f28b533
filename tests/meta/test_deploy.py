"""The files in deploy/: each metric that they name is one of ours, and each alert is explained."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.meta.tables import metric_descriptions
from tests.needs import need_program

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"
PROCESS = {"process_start_time_seconds", "process_resident_memory_bytes"}
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}
VARIABLE = re.compile(r"\[\$__\w+\]")


def samples() -> set[str]:
    """The names of all samples that a server may have."""
    found = set(PROCESS)
    for kind, name, _, _ in metric_descriptions():
        found |= {name + suffix for suffix in SUFFIXES.get(kind, ("",))}
    return found


def named_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:sidecar|process)_[a-z_]+", expression))


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def queries() -> Iterator[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def test_alerts_and_dashboard_name_only_metrics_that_there_are() -> None:
    expressions = [rule["expr"] for rule in rules()] + list(queries())
    named = set().union(*map(named_in, expressions))
    assert len(named) > 30
    assert named <= samples()


def test_the_dashboard_shows_every_metric() -> None:
    shown = set().union(*map(named_in, queries()))
    bare = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} | shown
    assert {each.name for each in metric_descriptions()} <= bare


def test_each_panel_has_a_title_and_says_what_it_shows() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] for panel in panels)
    assert all(panel["description"] for panel in panels if panel["type"] != "row")


def test_the_queries_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    """As rules, since promtool checks those."""
    readable = [query for query in queries() if not query.startswith("label_values(")]
    recorded = [
        {"record": f"panel:{number}", "expr": VARIABLE.sub("[1m]", query)}
        for number, query in enumerate(readable)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    run_promtool("check", "rules", str(file))


def test_each_alert_has_its_severity_and_its_runbook() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs/reliability.md").read_text(), re.MULTILINE)
    assert [rule["alert"] for rule in rules()] == headings
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["runbook"] == f"docs/reliability.md#{rule['alert'].lower()}"


def test_each_alert_is_tested() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yml").read_text())["tests"]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == {
        rule["alert"] for rule in rules()
    }


def run_promtool(*arguments: str) -> None:
    done = subprocess.run(
        [need_program("promtool"), *arguments],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_pass_their_tests() -> None:
    run_promtool("test", "rules", "alerts_test.yml")


def test_prometheus_takes_the_configuration() -> None:
    run_promtool("check", "config", "prometheus.yml")


@pytest.mark.parametrize("file", ["compose.yaml"])
def test_files_mounted_by_compose_exist(file: str) -> None:
    services = yaml.safe_load((DEPLOY / file).read_text())["services"]
    for service in services.values():
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), mount
