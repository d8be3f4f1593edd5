"""Which headers name a trace, and when traces are recorded."""

import subprocess
import sys

import pytest

from shared.settings import SettingsError
from shared.telemetry import check_recording, is_wanted
from shared.tracing import traceparent_in

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
def test_what_is_no_traceparent_to_the_letter_is_none(header: str | None) -> None:
    assert traceparent_in(header) is None


@pytest.mark.parametrize("header", [GOOD, GOOD[:-2] + "00", GOOD[:-2] + "ff"])
def test_a_traceparent_is_taken_as_it_came(header: str) -> None:
    assert traceparent_in(header) == header


@pytest.mark.parametrize(
    ("more", "wanted"),
    [({}, True), ({"OTEL_TRACES_EXPORTER": "none"}, False), ({"OTEL_SDK_DISABLED": "True"}, False)],
)
def test_opentelemetrys_own_variables_switch_traces_on_and_off(more: dict[str, str], *, wanted: bool) -> None:
    assert is_wanted(TO_A_COLLECTOR | more) is wanted
    assert not is_wanted(more)


def test_traces_that_are_wanted_and_cannot_be_recorded_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    check_recording({})
    with pytest.raises(SettingsError) as caught:
        check_recording(TO_A_COLLECTOR)
    assert caught.value.faults == ["OTEL_EXPORTER_OTLP_ENDPOINT is set, and signpost[traces] is not installed"]


def test_a_process_that_records_nothing_imports_nothing_for_it() -> None:
    program = (
        "import sys, api_service.app, outbox_relay.cli\n"
        "from shared.telemetry import begin_recording\n"
        "begin_recording('service', {})\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
