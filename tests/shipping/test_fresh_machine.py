"""A fresh machine: commands report missing settings, and with these in place the units' commands work."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
import yaml

from devstack.cluster import Cluster, embedded_binaries
from devstack.logins import create_logins
from shared.db.connection_settings import driver_url
from tests.support.commands import ROOT, SETTINGS
from tests.support.eventually import eventually
from tests.support.keys import PUBLIC_URL, SECRET_KEYS
from tests.support.mail_sink import MailSink
from tests.support.processes import Running, RunningApi, running
from tests.support.relays import RunningRelay
from tests.support.service_manager import supervisor
from tests.support.shipping import Machine
from tests.support.units import values_of

WAITING = {"Prefer": "wait=20"}
EMAIL_FROM = "Signpost <no-reply@signpost.example>"


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """A database server with the database and logins from docs/reference/settings.md."""
    with Cluster(embedded_binaries()) as cluster:
        with psycopg.connect(driver_url(cluster.url("postgres")), autocommit=True) as connection:
            connection.execute("create database signpost")
        yield cluster


@pytest.fixture(scope="module")
def filled_in(machine: Machine, server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Return the same release on a machine with all settings and a migrated database."""
    folder = tmp_path_factory.mktemp("filled-in")
    (folder / "opt").symlink_to(machine.root / "opt")
    for copied in ("etc", "usr"):
        shutil.copytree(machine.root / copied, folder / copied)
    ready = Machine(folder)
    ready.fill_in(
        {
            "owner-database-url": server.url("signpost"),
            "api-database-url": server.url("signpost", "api"),
            "relay-database-url": server.url("signpost", "relay"),
            "console-database-url": server.url("signpost", "console"),
            "secret-keys": SECRET_KEYS,
        },
        api={"PUBLIC_URL": PUBLIC_URL, **binds("API"), "API_WORKERS": "1"},
        relay={"PUBLIC_URL": PUBLIC_URL, "EMAIL_FROM": EMAIL_FROM, "RELAY_BIND": "127.0.0.1:0"},
        console=binds("CONSOLE"),
    )
    for _ in range(2):  # the second run has no effect
        migrated = run_to_its_end(ready, "signpost-migrate.service", folder)
        assert (migrated.returncode, migrated.stdout) == (0, "schema: up to date\n"), migrated.stderr
    create_logins(server.url("signpost"))
    return ready


@pytest.mark.parametrize("process", ["api-service", "outbox-relay", "operator-console", "signpost-receiver"])
def test_check_settings_reports_each_missing_setting(machine: Machine, process: str, tmp_path: Path) -> None:
    done = run_to_its_end(machine, f"{process}.service", tmp_path, instead=[process, "check-settings"])
    reported = {line.split()[1].rstrip(",") for line in done.stderr.splitlines()}
    required = {str(field.data_key) for field in SETTINGS[process]().fields.values() if field.required}
    assert done.returncode == 2
    assert reported - {"EMAIL_PROVIDERS"} == required  # another line lists the providers
    assert "DATABASE_URL" in required


@pytest.mark.parametrize(
    "unit", ["api-service.service", "outbox-relay.service", "operator-console.service", "signpost-receiver.service"]
)
def test_a_unit_with_invalid_settings_is_not_restarted(machine: Machine, unit: str, tmp_path: Path) -> None:
    done = run_to_its_end(machine, unit, tmp_path)
    assert done.stderr.startswith("settings: ")
    assert values_of(unit, "RestartPreventExitStatus") == [str(done.returncode)]


def test_migrate_reports_missing_settings(machine: Machine, tmp_path: Path) -> None:
    done = run_to_its_end(machine, "signpost-migrate.service", tmp_path)
    assert (done.returncode, done.stderr) == (2, "settings: DATABASE_URL is not set\n")


def test_with_all_settings_the_units_commands_deliver_a_registrations_mail(
    filled_in: Machine, sink: MailSink, tmp_path: Path
) -> None:
    filled_in.fill_in({"email-providers": sink.provider})
    for unit, process in (("api-service.service", "api-service"), ("outbox-relay.service", "outbox-relay")):
        checked = run_to_its_end(filled_in, unit, tmp_path, instead=[process, "check-settings"])
        assert checked.stdout == "settings: all well\n", checked.stderr

    with started(filled_in, "api-service.service", tmp_path) as serving:
        with started(filled_in, "outbox-relay.service", tmp_path) as relaying:
            api = RunningApi(serving.process, serving.log_path)
            relay = RunningRelay(relaying.process, relaying.log_path)
            body = {"email": "ada@example.org", "password": "a walk by the harbour"}
            response = httpx.post(f"{api.base_url}/v1/registrations", json=body, headers=WAITING, timeout=30)
            assert response.json()["delivery"]["status"] == "sent", response.text
            assert sink.arrived.total() == 1
            [bound] = relay.logged("relay started")
            assert is_healthy("relay", 8002, str(bound["bind"]))
            probed = api.admin_bind
            assert is_healthy("api", 8003, probed)
            assert ended(relaying) == 0
        assert ended(serving) == 0
    assert not is_healthy("api", 8003, probed)


def test_commands_run_with_the_settings_of_a_unit(filled_in: Machine) -> None:
    tool = [*filled_in.command(["python"])[:1], "-I", str(filled_in.root / "usr" / "local" / "sbin" / "signpost-run")]
    checked = [*tool, "api-service", *filled_in.command(["api-service", "check-settings"])]
    assert subprocess.run(checked, capture_output=True, text=True, check=True).stdout == "settings: all well\n"
    create = ["outboxctl", "tokens", "create", "--name", "ada", "--scope", "read", "--reason", "a first operator"]
    created = [*tool, "signpost-migrate", *filled_in.command(create)]
    subprocess.run(created, capture_output=True, check=True)


def test_the_console_serves_operators_on_a_fresh_machine(filled_in: Machine, tmp_path: Path) -> None:
    with started(filled_in, "operator-console.service", tmp_path) as serving:
        # gunicorn notifies systemd first, and then the test.
        eventually(lambda: [line for line in serving.log_lines() if line["event"] == "console listening"])
        probed = serving.admin_bind
        assert is_healthy("console", 8004, probed)
        assert ended(serving) == 0
    assert not is_healthy("console", 8004, probed)


def binds(service: str) -> dict[str, str]:
    return {f"{service}_BIND": "127.0.0.1:0", f"{service}_ADMIN_BIND": "127.0.0.1:0"}


def run_to_its_end(
    machine: Machine, unit: str, folder: Path, *, instead: list[str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the unit's command, or another one instead, in the unit's environment."""
    command, environment = machine.unit(unit, folder)
    return subprocess.run(
        machine.command(instead) if instead else command,
        env=environment | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@contextmanager
def started(machine: Machine, unit: str, folder: Path) -> Iterator[Running]:
    """Run the unit's command during the block, once it has notified readiness to systemd."""
    command, environment = machine.unit(unit, folder)
    with supervisor() as systemd, running(command, environment | systemd.environment(15_000_000)) as process:
        systemd.wait_for("READY=1")
        yield process


def ended(process: Running) -> int:
    process.process.send_signal(signal.SIGTERM)
    return process.process.wait(timeout=60)


def is_healthy(service: str, port: int, bind: str) -> bool:
    """Run the container's health check against the address here."""
    config = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    _, *check = config["services"][service]["healthcheck"]["test"]
    assert f"127.0.0.1:{port}/" in check[-1]
    asked = [word.replace(f"127.0.0.1:{port}/", f"{bind}/") for word in check]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0
