"""docs/reference/metrics.md lists every metric with its labels, and every alarm with its severity."""

import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import REGISTRY

from api_service import metrics as api_metrics
from operator_console.web import metrics as console_metrics
from outbox_relay import metrics as relay_metrics
from receiver import metrics as receiver_metrics
from receiver.callbacks import metrics as callback_metrics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text()


def test_every_metric_is_documented_with_its_labels() -> None:
    documented = re.findall(r"^\| `(signpost_\w+)(?:\{([\w,]+)\})?`", PAGE, re.MULTILINE)
    assert sorted(documented) == sorted(map(name_and_labels, metrics()))


def test_every_alarm_is_documented_with_its_severity() -> None:
    documented = re.findall(r"^\| \[(\w+)\]\(\S+\) \| (\w+) \|", PAGE, re.MULTILINE)
    assert sorted(documented) == sorted((rule["alert"], rule["labels"]["severity"]) for rule in alarms())


def metrics() -> list[Any]:
    modules = (api_metrics, console_metrics, callback_metrics, relay_metrics, receiver_metrics)
    values = [value for module in modules for name, value in vars(module).items() if name.isupper()]
    return [value for value in values if hasattr(type(value), "collect") and value is not REGISTRY]


def name_and_labels(metric: Any) -> tuple[str, str]:
    """Return the name as Prometheus gets it, and the labels, comma-separated."""
    about = vars(metric)
    [family] = metric.describe()
    return family.name + ("_total" if family.type == "counter" else ""), ",".join(about["_labelnames"])


def alarms() -> list[dict[str, Any]]:
    files = sorted((ROOT / "deploy" / "prometheus").glob("*.rules.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]
