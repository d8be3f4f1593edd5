"""Valid traceparent headers, and when traces are enabled."""

import subprocess
import sys

import pytest

from shared.settings import SettingsError, check_tracing
from shared.tracing import is_tracing_enabled, parse_traceparent

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TO_A_COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        GOOD.upper(),
        f"{GOOD}\n",
        f" {GOOD}",
        f"{GOOD}-more",
        GOOD.replace("00-", "01-", 1),
        GOOD.replace("00-", "ff-", 1),
        GOOD.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        GOOD.replace("b7ad6b7169203331", "0" * 16),
        GOOD.replace("b7ad6b7169203331", "b7ad6b716920333"),
        GOOD[:-1],
        "00-<script>-b7ad6b7169203331-01",
    ],
)
def test_an_invalid_traceparent_is_ignored(header: str | None) -> None:
    assert parse_traceparent(header) is None


@pytest.mark.parametrize("header", [GOOD, GOOD[:-2] + "00", GOOD[:-2] + "ff"])
def test_a_valid_traceparent_is_returned_unchanged(header: str) -> None:
    assert parse_traceparent(header) == header


@pytest.mark.parametrize(
    ("more", "wanted"),
    [({}, True), ({"OTEL_TRACES_EXPORTER": "none"}, False), ({"OTEL_SDK_DISABLED": "True"}, False)],
)
def test_opentelemetry_variables_enable_and_disable_traces(more: dict[str, str], *, wanted: bool) -> None:
    assert is_tracing_enabled(TO_A_COLLECTOR | more) is wanted
    assert not is_tracing_enabled(more)


def test_enabled_traces_without_the_extra_are_a_settings_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    check_tracing({})
    with pytest.raises(SettingsError) as caught:
        check_tracing(TO_A_COLLECTOR)
    assert caught.value.errors == ["OTEL_EXPORTER_OTLP_ENDPOINT is set, and signpost[traces] is not installed"]


def test_a_process_without_traces_does_not_import_opentelemetry() -> None:
    program = (
        "import sys, api_service.app, outbox_relay.cli\n"
        "from shared.tracing import start_tracing\n"
        "start_tracing('service', {})\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
