"""Run schemathesis against the live API: its responses to valid, odd and broken requests match its OpenAPI document."""

import json
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.cluster import Cluster
from tests.support import plain_http
from tests.support.databases import Database, fresh_database
from tests.support.processes import HASTY_API, RunningApi, running_api
from tests.support.signing_in import signed_in_at

SCHEMATHESIS = Path(sysconfig.get_path("scripts")) / "schemathesis"
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
ENDING = "^(delete_me|delete_current_session)$"
"""Operations that end the current session: they run last, with their own user."""
SECONDS = 300


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster) as database:
        yield database


@pytest.fixture(scope="module")
def api(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApi]:
    file: Path = tmp_path_factory.mktemp("schema") / "profile.json"
    file.write_text(json.dumps({"type": "object", "additionalProperties": True}))
    settings = {
        "RATE_LIMITS": "off",
        "RESEND_COOLDOWN_SECONDS": "0",
        "PROFILE_SCHEMA": str(file),
        "UNCONFIRMED_ACCESS": "limited",
        "ORGANIZATIONS": "after_activation",
    }
    with running_api(database, command=HASTY_API, **settings) as api:
        yield api


@pytest.fixture(scope="module")
def document(api: RunningApi, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the served document with `additionalProperties` set to false, so that unknown members fail."""
    served = plain_http.get(f"{api.base_url}/openapi.json").json()
    for schema in served["components"]["schemas"].values():
        schema.setdefault("additionalProperties", False)
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_text(json.dumps(served))
    return path


@pytest.mark.parametrize("which", ["--exclude-operation-id-regex", "--include-operation-id-regex"])
def test_each_response_matches_the_openapi_document(
    which: str, document: Path, api: RunningApi, database: Database
) -> None:
    result = schemathesis(
        document, api, f"Authorization: Bearer {signed_in_at(api, database, f'{which[2:4]}@example.org')}", which
    )

    assert result.returncode == 0, result.stdout
    assert "500" not in [str(line.get("status")) for line in api.log_lines()]


def test_each_response_to_a_limited_session_matches_the_openapi_document(document: Path, api: RunningApi) -> None:
    body = {"email": "limited@example.org", "password": "four quiet words here"}
    access_token = plain_http.post(f"{api.base_url}/v1/registrations", json=body).json()["access_token"]

    result = schemathesis(document, api, f"Authorization: Bearer {access_token}", "--exclude-operation-id-regex")

    assert result.returncode == 0, result.stdout


def schemathesis(document: Path, api: RunningApi, header: str, which: str) -> "subprocess.CompletedProcess[str]":
    options: dict[str, Any] = {
        "--url": api.base_url,
        "--header": header,
        "--checks": "all",
        "--phases": "examples,coverage,fuzzing",
        "--max-examples": 5,
        "--seed": 1,
        which: ENDING,
    }
    arguments = [str(each) for option in options.items() for each in option]
    return subprocess.run(
        [SCHEMATHESIS, f"--config-file={CONFIGURATION}", "run", document, *arguments, "--continue-on-failure"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=document.parent,
    )
