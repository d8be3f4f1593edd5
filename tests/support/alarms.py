"""The alarms in deploy/prometheus, and promtool, which evaluates them."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

RULES = sorted((Path(__file__).parents[2] / "deploy" / "prometheus").glob("*.rules.yml"))
PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool, of Debian's prometheus, is not installed")


@cache
def groups() -> list[dict[str, Any]]:
    return [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]


def promtool(*arguments: str | Path) -> None:
    ran = subprocess.run([str(PROMTOOL), *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def written_cases(alarm: str, cases: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Write the cases of one alarm for ``promtool test rules``, and return the path.

    A case has a series for each name, in promtool's notation with one value a minute, and the minute in which the alarm
    ``fires_at`` or is ``quiet_at``.
    """
    rules, written = folder / f"{alarm}.rules.yml", folder / f"{alarm}.yml"
    rules.write_text(json.dumps({"groups": list(_groups_with_only(alarm))}))
    tests = [_as_promtool_has_it(alarm, case) for case in cases]
    written.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    return written


def _groups_with_only(alarm: str) -> Iterator[dict[str, Any]]:
    for group in groups():
        rules = [rule for rule in group["rules"] if rule["alert"] == alarm]
        if rules:
            yield group | {"rules": rules}


def _as_promtool_has_it(alarm: str, case: Mapping[str, Any]) -> dict[str, Any]:
    count = f'count(ALERTS{{alertname="{alarm}",alertstate="firing"}})'
    firing = [{"labels": "{}", "value": case.get("count", 1)}] if "fires_at" in case else []
    minute = case.get("fires_at") or case["quiet_at"]
    return {
        "name": f"{alarm}: {case['when']}",
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case["series"].items()],
        "promql_expr_test": [{"expr": count, "eval_time": f"{minute}m", "exp_samples": firing}],
    }
