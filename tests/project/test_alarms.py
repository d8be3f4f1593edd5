"""Alarms and dashboard: each uses existing metrics, fires exactly when it should, and has its page."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import REGISTRY

from api_service import metrics as api_metrics
from operator_console.web import metrics as console_metrics
from outbox_relay import metrics as relay_metrics
from receiver import metrics as receiver_metrics
from receiver.callbacks import metrics as callbacks_metrics
from tests.support.alarms import RULES, groups, needs_promtool, promtool, written_cases

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "signpost.json").read_text())
OPERATIONS = (ROOT / "docs" / "guides" / "operations.md").read_text()
CASES = yaml.safe_load((Path(__file__).parent / "alarm_cases.yml").read_text())


def alarms() -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"]]


def names() -> list[str]:
    return sorted(alarm["alert"] for alarm in alarms())


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if "targets" in panel]


def questions() -> dict[str, str]:
    """Return all Prometheus queries, by alarm or panel."""
    asked = {f"alarm {alarm['alert']}": alarm["expr"] for alarm in alarms()}
    return asked | {f"panel {panel['title']}": target["expr"] for panel in panels() for target in panel["targets"]}


@cache
def counted() -> dict[str, set[str]]:
    """Return each exported series with its labels."""
    known: dict[str, set[str]] = {"up": set()}
    modules = (relay_metrics, api_metrics, console_metrics, receiver_metrics, callbacks_metrics)
    collectors = [value for module in modules for value in vars(module).values()]
    for collector in collectors:
        if hasattr(type(collector), "collect") and collector is not REGISTRY:
            known |= series_of(collector)
    return known


def series_of(collector: Any) -> dict[str, set[str]]:
    about = vars(collector)
    if "label" in about:
        return {f"{about['name']}{end}": {about["label"], "le"} for end in ("_bucket", "_count", "_sum")}
    if "_labelnames" not in about:
        return {}
    [family], labels = collector.describe(), set(about["_labelnames"])
    match family.type:
        case "counter":
            return {f"{family.name}_total": labels}
        case "histogram":
            return {f"{family.name}{end}": labels | {"le"} for end in ("_bucket", "_count", "_sum")}
        case _:
            return {family.name: labels}


def test_alarms_and_panels_query_existing_series_and_labels() -> None:
    known = counted()
    for who, question in questions().items():
        named = set(re.findall(r"\b(signpost_\w+|up)\b", re.sub(r'"[^"]*"', '""', question)))
        assert named, who
        assert named - known.keys() == set(), who
        for name, matchers in re.findall(r"\b(\w+)\{([^}]*)\}", question):
            assert set(re.findall(r"(\w+)[!=]", matchers)) <= known[name] | {"job", "instance"}, who
        labels = set().union(*(known[name] for name in named)) | {"instance"}
        for by in re.findall(r"by \(([^)]*)\)", question):
            assert set(re.findall(r"\w+", by)) <= labels, who


def test_alarms_and_headings_match() -> None:
    headings = re.findall(r"^### (Signpost\w+)$", OPERATIONS, re.MULTILINE)
    assert sorted(headings) == names()
    for alarm in alarms():
        assert alarm["annotations"]["runbook"] == f"docs/guides/operations.md#{alarm['alert'].lower()}"
        assert alarm["labels"]["severity"] in {"page", "ticket"}


def test_each_runbook_entry_shows_a_command() -> None:
    assert [alarm for alarm in names() if "```console" not in runbook_entry(alarm)] == []


def runbook_entry(alarm: str) -> str:
    return re.split(r"^##+ ", OPERATIONS.partition(f"### {alarm}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_each_alarm_has_a_case_that_fires_and_one_that_does_not() -> None:
    for at in ("fires_at", "quiet_at"):
        assert sorted({case["alarm"] for case in CASES if at in case}) == names()


@needs_promtool
def test_alarms_fire_exactly_when_they_should(tmp_path: Path) -> None:
    # One file per alarm: promtool evaluates all rules of a file each minute of each case, and some cases last days.
    cases = {alarm: [case for case in CASES if case["alarm"] == alarm] for alarm in names()}
    promtool("test", "rules", *(written_cases(alarm, its_own, tmp_path) for alarm, its_own in cases.items()))


@needs_promtool
def test_prometheus_accepts_all_queries(tmp_path: Path) -> None:
    asked = [{"record": f"asked:{number}", "expr": expr} for number, expr in enumerate(questions().values())]
    written = tmp_path / "asked.yml"
    written.write_text(json.dumps({"groups": [{"name": "asked", "rules": asked}]}).replace("$__rate_interval", "5m"))
    for path in (*RULES, written):
        promtool("check", "rules", path)


def test_panels_have_distinct_titles_and_do_not_overlap() -> None:
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len({panel["title"] for panel in every}) == len(every)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in every)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
