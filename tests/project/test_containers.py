"""docker-compose.yml and the Dockerfile, as far as they can be held to the rest without an engine."""

import re
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from api_service.server import STOP_SECONDS
from tests.support.commands import PROJECT, ROOT, errors_in, is_program, settings_of
from tests.support.compose_schema import COMPOSE
from tests.support.dockerfile import instructions, stages

TEXT = (ROOT / "docker-compose.yml").read_text()
CONFIG: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = CONFIG["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("signpost:"))
LASTING = sorted(SERVICES.keys() - {"migrate"})


def needs(service: dict[str, Any]) -> None:
    """Skip where this release does not have the service's program yet."""
    if not is_program(service["command"][0]):
        pytest.skip(f"this release has no {service['command'][0]}")


def schema_of_compose() -> Any:
    # Imported where it is needed: it takes seconds, and every process that collects tests would pay for it.
    return import_module("jsonschema").Draft202012Validator(COMPOSE)


def test_it_is_a_compose_file() -> None:
    schema_of_compose().validate(CONFIG)


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_one_that_the_image_has(name: str) -> None:
    needs(SERVICES[name])
    assert errors_in(SERVICES[name]["command"]) == []


@pytest.mark.parametrize("name", OURS)
def test_each_variable_is_a_setting_of_its_process(name: str) -> None:
    needs(SERVICES[name])
    assert set(SERVICES[name]["environment"]) - settings_of(SERVICES[name]["command"]) == set()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_shown_the_secrets_that_it_reads_and_no_others(name: str) -> None:
    service = SERVICES[name]
    given = set(service.get("secrets", []))
    read = {
        value.removeprefix("/run/secrets/")
        for value in service.get("environment", {}).values()
        if str(value).startswith("/run/secrets/")
    }
    if name == "postgres":
        read |= {f"{login}-password" for login in ("api", "relay", "console", "organizer")}  # by make-logins.sh
    assert given == read


def test_the_secrets_are_those_that_the_script_makes_and_it_keeps_what_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run([ROOT / "deploy" / "docker" / "make-secrets.sh", tmp_path], check=True)
        made = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert made.keys() == CONFIG["secrets"].keys()
        first = made
    assert made == first
    assert {entry["file"] for entry in CONFIG["secrets"].values()} == {f"deploy/docker/secrets/{name}" for name in made}
    assert tmp_path.stat().st_mode & 0o077 == 0
    assert len(set(made.values())) == len(made)


def test_the_secrets_are_no_part_of_the_project() -> None:
    assert "deploy/docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert not any(line.startswith("!deploy") for line in (ROOT / ".dockerignore").read_text().splitlines())


@pytest.mark.parametrize("name", sorted({*OURS, "mailpit"}))
def test_a_container_can_write_nowhere_but_into_memory_and_gain_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_container_says_cannot_fill_the_disk(name: str) -> None:
    assert SERVICES[name]["logging"]["options"].keys() == {"max-size", "max-file"}


def test_the_image_is_built_once_for_all_that_run_it() -> None:
    assert {name for name in OURS if "build" in SERVICES[name]} == {"migrate"}  # all others wait for its end


def test_nothing_that_comes_along_gains_rights_and_the_mailbox_is_not_root() -> None:
    assert SERVICES["postgres"]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES["mailpit"]["user"] != "0:0"


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_looked_after_and_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_offered_beyond_this_machine(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_there_can_be_many_relays() -> None:
    assert not {"ports", "container_name"} & SERVICES["relay"].keys()


@pytest.mark.parametrize("name", ["api", "relay", "console"])
def test_services_begin_once_the_schema_is_there(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_a_server_of_ones_own_may_take_the_place_of_ours() -> None:
    assert SERVICES["postgres"]["profiles"] == SERVICES["mailpit"]["profiles"] == ["local"]
    assert SERVICES["migrate"]["depends_on"]["postgres"]["required"] is False


def test_a_bare_up_brings_all_of_it() -> None:
    [profiles] = re.findall(r"^COMPOSE_PROFILES=(.*)$", (ROOT / ".env").read_text(), re.MULTILINE)
    assert set(profiles.split(",")) == {each for service in SERVICES.values() for each in service.get("profiles", [])}


def test_none_is_killed_while_it_finishes() -> None:
    assert int(SERVICES["api"]["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
    unit = (ROOT / "deploy" / "systemd" / "outbox-relay.service").read_text()
    assert f"TimeoutStopSec={SERVICES['relay']['stop_grace_period'].removesuffix('s')}\n" in unit


def test_the_image_stands_on_whatever_base_is_given() -> None:
    assert [said.rest for said in instructions() if said.word == "ARG"] == ["BASE=python:3.12-slim"]
    assert [stage[0].rest for stage in stages()] == ["${BASE} AS build", "${BASE}"]


def test_the_image_runs_as_nobody_in_particular_and_holds_only_what_was_built() -> None:
    *_, last = stages()
    assert [said.word for said in last] == ["FROM", "COPY", "ENV", "USER", "WORKDIR", "CMD"]
    [user] = [said.rest for said in last if said.word == "USER"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)


def test_no_compiler_is_ever_asked_for() -> None:
    installs = [command for said in instructions() if said.word == "RUN" for command in said.rest.split(" && ")]
    from_an_index = [command for command in installs if " install " in command and "--no-index" not in command]
    assert len(from_an_index) == 2
    assert all("--only-binary :all: --require-hashes" in command for command in from_an_index)
    assert not re.search(r"apt-get|apk |gcc|build-essential", (ROOT / "Dockerfile").read_text())


def test_what_the_build_copies_is_there_and_let_through() -> None:
    copied = [name for said in stages()[0] if said.word == "COPY" for name in said.rest.split()[:-1]]
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == let_through
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied)
