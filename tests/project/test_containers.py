"""docker-compose.yml and the Dockerfile, checked without a container engine."""

import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from api_service.server import STOP_SECONDS
from tests.support.commands import PROJECT, ROOT, errors_in, is_program, schema_of, settings_of
from tests.support.compose_schema import COMPOSE
from tests.support.dockerfile import instructions, stages

TEXT = (ROOT / "docker-compose.yml").read_text()
CONFIG: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = CONFIG["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("signpost:"))
LASTING = sorted(SERVICES.keys() - {"migrate"})
PROCESSES = sorted(set(OURS) - {"migrate"})
PROXY: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "docker" / "proxy.yml").read_text())


def needs(service: dict[str, Any]) -> None:
    """Skip where this release does not have the service's program yet."""
    if not is_program(service["command"][0]):
        pytest.skip(f"this release has no {service['command'][0]}")


def schema_of_compose() -> Any:
    # Imported here because the import takes seconds, which all collecting processes would spend.
    return import_module("jsonschema").Draft202012Validator(COMPOSE)


def test_the_compose_file_is_valid() -> None:
    schema_of_compose().validate(CONFIG)


def test_the_compose_file_with_a_proxy_is_valid() -> None:
    schema_of_compose().validate(merged(CONFIG, PROXY))


@pytest.mark.parametrize("name", OURS)
def test_each_services_command_is_in_the_image(name: str) -> None:
    needs(SERVICES[name])
    assert errors_in(SERVICES[name]["command"]) == []


@pytest.mark.parametrize("name", OURS)
def test_each_variable_is_a_setting_of_its_process(name: str) -> None:
    needs(SERVICES[name])
    assert set(SERVICES[name]["environment"]) - settings_of(SERVICES[name]["command"]) == set()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_gets_exactly_the_secrets_that_it_reads(name: str) -> None:
    service = SERVICES[name]
    given = set(service.get("secrets", []))
    read = {
        value.removeprefix("/run/secrets/")
        for value in service.get("environment", {}).values()
        if str(value).startswith("/run/secrets/")
    }
    if name == "postgres":
        logins = ("api", "relay", "console", "receiver", "organizer")  # of make-logins.sh
        read |= {f"{login}-password" for login in logins}
    assert given == read


@pytest.mark.parametrize("name", PROCESSES)
def test_a_file_that_may_be_missing_can_contain_each_setting_of_a_service(name: str) -> None:
    service = SERVICES[name]
    assert service["env_file"] == [{"path": f"deploy/docker/{name}.env", "required": False}]
    shared = {key for key, value in service["environment"].items() if str(value).startswith(f"${{{key}:-")}
    # Compose prefers `environment` to files, so a setting that is neither a secret nor in .env cannot be changed.
    fixed = {key for key in service["environment"] if not key.endswith("_FILE")} - shared
    assert [key for key in fixed if not key.endswith("_BIND")] == []
    offered = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env").read_text(), re.MULTILINE))
    assert shared <= offered


def test_a_client_cannot_forge_its_address_by_default() -> None:
    assert [name for name in SERVICES if "TRUSTED_PROXIES" in SERVICES[name].get("environment", {})] == []


def test_the_proxy_sees_clients_and_reaches_the_published_ports() -> None:
    proxy = PROXY["services"]["proxy"]
    assert (proxy["network_mode"], proxy.get("ports")) == ("host", None)
    for name in PROXY["services"].keys() - {"proxy"}:
        assert PROXY["services"][name] == {"environment": {"TRUSTED_PROXIES": "1"}}
        assert "TRUSTED_PROXIES" in settings_of(SERVICES[name]["command"])
    sample, *_ = proxy["volumes"][0].split(":")
    upstreams = set(re.findall(r"reverse_proxy (\S+)", (ROOT / sample).read_text()))
    assert upstreams == {SERVICES[name]["ports"][0].rpartition(":")[0] for name in ("api", "console", "callbacks")}


def test_commands_in_the_docs_run_in_a_service_that_has_their_settings() -> None:
    found = commands_in_containers()
    assert len(found) > 3
    for service, words in found:
        given = {key.removesuffix("_FILE") for key in SERVICES[service]["environment"]}
        assert (words, errors_in(words)) == (words, [])
        assert (words, required_by(words) - given) == (words, set())


def test_the_owner_creates_the_first_token() -> None:
    [(service, _)] = [found for found in commands_in_containers() if found[1][:3] == ["outboxctl", "tokens", "create"]]
    assert SERVICES[service]["environment"]["DATABASE_URL_FILE"] == "/run/secrets/owner-database-url"


def commands_in_containers() -> list[tuple[str, list[str]]]:
    """Return the service and the words of each command that the docs run in a container."""
    pages = [page.read_text() for page in (ROOT / "docs").rglob("*.md")]
    lines = [
        line for page in pages for line in re.findall(r"docker compose (?:exec|run(?: --rm)?) ([a-z][^`\n]*)", page)
    ]
    return [(service, words) for service, *words in map(shlex.split, lines)]


def required_by(words: list[str]) -> set[str]:
    """Return the settings that a command does not run without."""
    return {str(field.data_key) for field in schema_of(words)().fields.values() if field.required}


def merged(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Merge two compose files, which share no lists."""
    both = {key: merged(base[key], override[key]) for key in base.keys() & override.keys()}
    return base | override | both


def test_the_script_creates_all_secrets_and_keeps_existing_ones(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run([ROOT / "deploy" / "docker" / "make-secrets.sh", tmp_path], check=True)
        made = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert made.keys() == CONFIG["secrets"].keys()
        first = made
    assert made == first
    assert {entry["file"] for entry in CONFIG["secrets"].values()} == {f"deploy/docker/secrets/{name}" for name in made}
    assert tmp_path.stat().st_mode & 0o077 == 0
    assert len(set(made.values())) == len(made)


def test_the_secrets_are_ignored_by_git_and_the_image() -> None:
    assert {"deploy/docker/secrets/", "deploy/docker/*.env"} <= set((ROOT / ".gitignore").read_text().splitlines())
    assert not any(line.startswith("!deploy") for line in (ROOT / ".dockerignore").read_text().splitlines())


@pytest.mark.parametrize("name", sorted({*OURS, "mailpit"}))
def test_a_container_can_write_only_to_memory_and_gain_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_container_logs_cannot_fill_the_disk(name: str) -> None:
    assert SERVICES[name]["logging"]["options"].keys() == {"max-size", "max-file"}


def test_the_image_is_built_once_for_all_services() -> None:
    assert {name for name in OURS if "build" in SERVICES[name]} == {"migrate"}  # the other services wait for its end


def test_third_party_containers_gain_no_rights_and_the_mailbox_is_not_root() -> None:
    assert SERVICES["postgres"]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES["mailpit"]["user"] != "0:0"


@pytest.mark.parametrize("name", LASTING)
def test_long_running_services_have_health_checks_and_restart(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_the_relay_service_can_be_scaled() -> None:
    assert not {"ports", "container_name"} & SERVICES["relay"].keys()


@pytest.mark.parametrize("name", ["api", "relay", "console"])
def test_services_start_after_the_migration(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_an_external_database_can_replace_the_container() -> None:
    assert SERVICES["postgres"]["profiles"] == SERVICES["mailpit"]["profiles"] == ["local"]
    assert SERVICES["migrate"]["depends_on"]["postgres"]["required"] is False


def test_up_without_options_starts_all_services_that_need_no_settings() -> None:
    [profiles] = re.findall(r"^COMPOSE_PROFILES=(.*)$", (ROOT / ".env").read_text(), re.MULTILINE)
    known = {each for service in SERVICES.values() for each in service.get("profiles", [])}
    assert set(profiles.split(",")) == known - {"bounces", "receipts"}  # they need BOUNCE_IMAP_URL and CALLBACK_URL


def test_each_service_has_time_to_stop() -> None:
    assert int(SERVICES["api"]["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
    unit = (ROOT / "deploy" / "systemd" / "outbox-relay.service").read_text()
    assert f"TimeoutStopSec={SERVICES['relay']['stop_grace_period'].removesuffix('s')}\n" in unit


def test_the_base_image_can_be_chosen() -> None:
    assert [instruction.rest for instruction in instructions() if instruction.word == "ARG"] == [
        "BASE=python:3.12-slim"
    ]
    assert [stage[0].rest for stage in stages()] == ["${BASE} AS build", "${BASE}"]


def test_the_image_runs_unprivileged_and_contains_only_the_build() -> None:
    *_, last = stages()
    assert [instruction.word for instruction in last] == ["FROM", "COPY", "ENV", "USER", "WORKDIR", "CMD"]
    [user] = [instruction.rest for instruction in last if instruction.word == "USER"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)


def test_the_build_needs_no_compiler() -> None:
    installs = [
        command
        for instruction in instructions()
        if instruction.word == "RUN"
        for command in instruction.rest.split(" && ")
    ]
    from_an_index = [command for command in installs if " install " in command and "--no-index" not in command]
    assert len(from_an_index) == 2
    assert all("--only-binary :all: --require-hashes" in command for command in from_an_index)
    assert not re.search(r"apt-get|apk |gcc|build-essential", (ROOT / "Dockerfile").read_text())


def test_files_that_the_build_copies_exist_and_are_not_ignored() -> None:
    copied = [
        name for instruction in stages()[0] if instruction.word == "COPY" for name in instruction.rest.split()[:-1]
    ]
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == let_through
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied)
