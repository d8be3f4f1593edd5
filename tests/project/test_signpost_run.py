"""deploy/bin/signpost-run: a command gets the settings and secrets of a unit."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.units import CONFIGURATION, UNITS, credentials_of, settings_given

SCRIPT = ROOT / "deploy" / "bin" / "signpost-run"
SETTINGS = r"""
# EMAIL_FROM=commented out
EMAIL_FROM=Signpost <no-reply@example.org>
BRAND_FOOTER="Example, 1 Main Street, \"Paris\""
  SUPPORT_ADDRESS='help@example.org'
BRAND_NAME=Ada's shop $HOME
THEME_FOLDER=
LOG_LEVEL=info
"""
DROP_IN = """
[Service]
Environment=SMS_PROVIDERS_FILE=/etc/other REPLY_TO=a@example.org
EnvironmentFile=-/etc/missing.env
"""
PARSED = {
    "EMAIL_FROM": "Signpost <no-reply@example.org>",
    "BRAND_FOOTER": 'Example, 1 Main Street, "Paris"',
    "SUPPORT_ADDRESS": "help@example.org",
    "BRAND_NAME": "Ada's shop $HOME",
    "THEME_FOLDER": "",
    "LOG_LEVEL": "info",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the tool, the units and their files, as an installation leaves it."""
    shutil.copytree(UNITS, tmp_path / "etc" / "systemd" / "system")
    (tmp_path / "usr" / "local" / "sbin").mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "usr" / "local" / "sbin")
    secrets = below(tmp_path, f"{CONFIGURATION}/secrets")
    secrets.mkdir(parents=True)
    for unit in UNITS.glob("*.service"):
        for path in credentials_of(unit.name).values():
            below(tmp_path, path).touch()
    for process in ("api", "relay", "console", "receiver", "callbacks"):
        shutil.copy(ROOT / "deploy" / "etc" / f"{process}.env", below(tmp_path, CONFIGURATION))
    return tmp_path


@pytest.mark.parametrize("unit", [path.name for path in UNITS.glob("*.service")])
def test_a_command_reads_the_files_that_systemd_would_copy_for_the_unit(root: Path, unit: str) -> None:
    below(root, f"{CONFIGURATION}/relay-1.env").touch()
    seen = environment_in(root, unit.replace("@.", "@1."))
    read = {name: seen[name] for name in settings_given(unit)}
    source = {f"%d/{name}": str(below(root, path)) for name, path in credentials_of(unit).items()}
    assert read == {name: source[value] for name, value in settings_given(unit).items()}


def test_settings_are_read_as_systemd_reads_them(root: Path) -> None:
    below(root, f"{CONFIGURATION}/relay.env").write_text(SETTINGS)
    seen = environment_in(root, "outbox-relay")
    assert {name: seen[name] for name in PARSED} == PARSED


def test_an_instance_and_a_drop_in_override_the_shared_settings(root: Path) -> None:
    below(root, f"{CONFIGURATION}/relay.env").write_text("RELAY_BIND=127.0.0.1:8002\nLOG_LEVEL=info\n")
    below(root, f"{CONFIGURATION}/relay-2.env").write_text("RELAY_BIND=127.0.0.1:8012\n")
    drop_ins = root / "etc" / "systemd" / "system" / "outbox-relay@.service.d"
    drop_ins.mkdir()
    (drop_ins / "override.conf").write_text(DROP_IN)
    seen = environment_in(root, "outbox-relay@2")
    assert (seen["RELAY_BIND"], seen["LOG_LEVEL"]) == ("127.0.0.1:8012", "info")
    assert (seen["SMS_PROVIDERS_FILE"], seen["REPLY_TO"]) == ("/etc/other", "a@example.org")


def test_commands_of_the_release_are_found_first(root: Path) -> None:
    assert environment_in(root, "api-service")["PATH"].startswith(f"{root}/opt/signpost/current/bin:")


def test_the_status_of_the_command_is_kept(root: Path) -> None:
    assert run(root, "api-service", "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "usage: signpost-run"),
        (["api-service"], "usage: signpost-run"),
        (["nowhere", "env"], "nowhere.service: No such file"),
        (["api-service", "no-such-command"], "no-such-command: No such file"),
    ],
)
def test_an_error_is_one_line(root: Path, arguments: list[str], error: str) -> None:
    done = run(root, *arguments)
    assert (done.returncode, error in done.stderr, done.stderr.count("\n")) == (1, True, 1), done.stderr


def test_a_missing_secret_is_reported(root: Path) -> None:
    below(root, credentials_of("api-service.service")["secret-keys"]).unlink()
    assert "secret-keys: No such file" in run(root, "api-service", "env").stderr


def environment_in(root: Path, unit: str) -> dict[str, str]:
    done = run(root, unit, "env", "--null")
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.rstrip("\0").split("\0"))


def run(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", root / "usr" / "local" / "sbin" / "signpost-run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def below(root: Path, path: str) -> Path:
    return Path(f"{root}{path}")
