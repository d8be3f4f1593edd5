"""The unit files in deploy/systemd, as systemd reads them."""

import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from api_service import server as api_server
from api_service.settings import ApiSettingsSchema
from operator_console.settings import WebSettingsSchema
from outbox_relay.bootstrap import STOPPING_MARGIN
from outbox_relay.settings import RelaySettingsSchema
from shared.urls import host_and_port
from shared.web.server import REPLACE_SECONDS, STUCK_SECONDS
from tests.support.commands import errors_in, is_program, settings_of
from tests.support.units import CONFIGURATION, INSTALLED, UNITS, credentials_of, settings_given, values_of, words_of

NAMES = sorted(path.name for path in UNITS.glob("*.service"))
SOCKETS = {"api-service": (ApiSettingsSchema, "API_BIND"), "operator-console": (WebSettingsSchema, "CONSOLE_BIND")}
HIGHEST_EXPOSURE = 2.0


def systemd_analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("this machine has no systemd-analyze")
    return program


def needs_its_program(unit: str) -> None:
    if not is_program(words_of(unit)[0]):
        pytest.skip(f"this release has no {words_of(unit)[0]}")


@pytest.mark.parametrize("unit", [*NAMES, *(f"{name}.socket" for name in SOCKETS)])
def test_systemd_finds_nothing_wrong(unit: str, tmp_path: Path) -> None:
    # systemd-analyze looks for the units' programs, which are not installed here. Another test checks that they exist.
    for name in NAMES:
        program = tmp_path / words_of(name)[0]
        program.unlink(missing_ok=True)
        program.symlink_to("/bin/true")
    for path in UNITS.iterdir():
        copy = tmp_path / path.name.replace("@.", "@1.")
        copy.write_text(path.read_text().replace(INSTALLED, str(tmp_path)))
    copy = tmp_path / unit.replace("@.", "@1.")
    verify = [systemd_analyze(), "verify", "--man=no", copy]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if str(copy) in line or unit in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


@pytest.mark.parametrize("name", SOCKETS)
def test_a_service_requires_its_socket_which_has_its_default_address(name: str) -> None:
    schema, setting = SOCKETS[name]
    [bind] = [field.load_default for field in schema().fields.values() if field.data_key == setting]
    assert values_of(f"{name}.socket", "ListenStream") == [host_and_port(*bind)]
    assert values_of(f"{name}.service", "Requires") == [f"{name}.socket"]


@pytest.mark.parametrize("unit", NAMES)
def test_each_unit_has_a_low_exposure(unit: str) -> None:
    look = [systemd_analyze(), "security", "--offline=yes", "--no-pager", UNITS / unit]
    done = subprocess.run(look, capture_output=True, text=True, check=False)
    [exposure] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert float(exposure) <= HIGHEST_EXPOSURE, done.stdout


@pytest.mark.parametrize("unit", NAMES)
def test_each_unit_starts_a_command_that_exists(unit: str) -> None:
    needs_its_program(unit)
    assert errors_in(words_of(unit)) == []


@pytest.mark.parametrize("unit", NAMES)
def test_a_unit_needs_no_program_that_a_minimal_system_lacks(unit: str) -> None:
    commands = [line for word in ("ExecStart", "ExecReload") for line in values_of(unit, word)]
    assert [line for line in commands if not line.startswith((f"{INSTALLED}/", "/bin/sh -c "))] == []


@pytest.mark.parametrize("unit", NAMES)
def test_each_variable_of_a_unit_is_a_setting_of_its_process(unit: str) -> None:
    needs_its_program(unit)
    assert set(settings_given(unit)) - settings_of(words_of(unit)) == set()


@pytest.mark.parametrize("unit", NAMES)
def test_each_secret_reaches_its_process_as_a_credential(unit: str) -> None:
    needs_its_program(unit)
    secrets = {name for name in settings_of(words_of(unit)) if name.endswith("_FILE")}
    given = settings_given(unit)
    assert given.keys() == secrets
    assert {value.removeprefix("%d/") for value in given.values()} == credentials_of(unit).keys()


@pytest.mark.parametrize("unit", [unit for unit in NAMES if values_of(unit, "EnvironmentFile")])
def test_a_unit_fails_once_without_an_environment_file(unit: str, tmp_path: Path) -> None:
    def copy_of(path: str) -> Path:
        return tmp_path / Path(path.replace("%i", "2")).name

    def starts() -> bool:
        asserted = [f"AssertPathExists={copy_of(path)}" for path in values_of(unit, "AssertPathExists")]
        check = [systemd_analyze(), "condition", *asserted]
        return not asserted or subprocess.run(check, capture_output=True, check=False).returncode == 0

    for path in values_of(unit, "EnvironmentFile"):
        assert not starts()
        copy_of(path).touch()
    assert starts()


@pytest.mark.parametrize("unit", NAMES)
def test_each_process_runs_as_a_dynamic_user(unit: str) -> None:
    assert values_of(unit, "DynamicUser") == ["yes"]


def test_units_read_secrets_from_the_installations_folder() -> None:
    read = {path for unit in NAMES for path in credentials_of(unit).values()}
    [listed] = re.findall(r"for secret in (.*?); do", (UNITS.parent / "install.sh").read_text(), re.DOTALL)
    assert read == {f"{CONFIGURATION}/secrets/{name}" for name in listed.replace("\\", " ").split()}


@pytest.mark.parametrize("process", ["api", "relay", "console", "receiver", "callbacks"])
def test_suggested_settings_exist(process: str) -> None:
    suggested = re.findall(r"^#([A-Z_]+)=", (UNITS.parent / "etc" / f"{process}.env").read_text(), re.MULTILINE)
    programs = {"api": "api-service", "relay": "outbox-relay", "console": "operator-console"}
    program = programs.get(process, "signpost-receiver")
    if process in {"console", "receiver"} and not is_program(program):
        pytest.skip(f"this release has no {program}")
    assert suggested
    assert set(suggested) <= settings_of([program, "callbacks" if process == "callbacks" else "serve"])


@pytest.mark.parametrize("unit", [unit for unit in NAMES if values_of(unit, "Type") == ["notify"]])
def test_a_killed_process_is_always_restarted(unit: str) -> None:
    assert (values_of(unit, "Restart"), values_of(unit, "StartLimitIntervalSec")) == (["always"], ["0"])


@pytest.mark.parametrize("unit", [unit for unit in NAMES if values_of(unit, "Type") == ["notify"]])
def test_a_service_has_a_watchdog_and_limits_for_memory_and_tasks(unit: str) -> None:
    for key in ("WatchdogSec", "MemoryMax", "TasksMax"):
        assert len(values_of(unit, key)) == 1, key


@pytest.mark.parametrize("unit", ["api-service.service", "operator-console.service", "signpost-callbacks.service"])
def test_gunicorn_replaces_a_stuck_worker_and_a_stop_ends_before_the_watchdog_kills(unit: str) -> None:
    watchdog, stop = (int(values_of(unit, key)[0]) for key in ("WatchdogSec", "TimeoutStopSec"))
    assert STUCK_SECONDS + watchdog > REPLACE_SECONDS
    assert watchdog > stop


def test_each_relay_has_time_to_finish_its_messages() -> None:
    send_seconds = RelaySettingsSchema().fields["send_seconds"].load_default
    longest = 2 * timedelta(seconds=send_seconds) + STOPPING_MARGIN
    for unit in ("outbox-relay.service", "outbox-relay@.service"):
        assert timedelta(seconds=int(values_of(unit, "TimeoutStopSec")[0])) > longest
    assert int(values_of("api-service.service", "TimeoutStopSec")[0]) > api_server.STOP_SECONDS


def test_the_unit_for_several_relays_differs_only_in_name_and_environment() -> None:
    one, several = (UNITS / "outbox-relay.service", UNITS / "outbox-relay@.service")
    lines = set(several.read_text().splitlines()) - set(one.read_text().splitlines())
    assert {line for line in lines if not line.startswith("#")} == {
        "Description=Signpost outbox relay %i",
        "AssertPathExists=/etc/signpost/relay-%i.env",
        "EnvironmentFile=/etc/signpost/relay-%i.env",
    }
