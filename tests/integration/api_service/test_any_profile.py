"""Any profile is stored as it was sent, or gets a clear problem."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devstack.cluster import Cluster
from tests.support.accounts import ADA, signed_in
from tests.support.any_json import many, texts, values
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import fresh_database
from tests.support.profiles import GIVEN, SCHEMA

OPEN: dict[str, Any] = {"type": "object", "additionalProperties": True}
NAMES = st.sampled_from([*SCHEMA["properties"], "note_1"]) | texts
LIKELY = st.sampled_from([*GIVEN.values(), "", "A-1843", "2026-02-28", 1, 1.5, 1e16, 1e-16, -0.0, "\0", "\ud800", None])
profiles = st.dictionaries(NAMES, LIKELY | values, max_size=6) | values


@pytest.fixture(scope="module", params=[OPEN, SCHEMA], ids=["open", "strict"])
def api(cluster: Cluster, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    file: Path = tmp_path_factory.mktemp("schema") / "profile.json"
    file.write_text(json.dumps(request.param))
    with fresh_database(cluster) as database, api_on(database, PROFILE_SCHEMA=str(file)) as api:
        api.activated(email=ADA, profile=GIVEN)
        yield api, {"Authorization": f"Bearer {signed_in(api)}"}


@many
@given(profile=profiles)
@example(profile={"first_name": "Ada", "size": 1e308})
@example(profile={"first_name": "Ada", "notes": [[1], [[[]]], {}, True, 1, 1.0]})
@example(profile={"_schema": {"_schema": 1}, "first_name": ["a"]})
@example(profile={"x" * 5000: 1})
def test_any_profile_is_registered_as_it_is_or_clearly_rejected(
    api: tuple[ApiUnderTest, dict[str, str]], profile: Any
) -> None:
    body = {"email": "eve@example.org", "password": PASSWORD, "profile": profile}
    response = sent(api[0], "POST", "/v1/registrations", body, {})
    if response.status_code == 202:
        assert api[0].user(UUID(response.json["id"])).profile == profile
    else:
        assert is_clear(response)


@many
@given(profile=profiles)
@example(profile={"first_name": None, "address": {"city": {"a": {"b": {"c": {}}}}}})
def test_any_patch_leaves_a_valid_profile_or_is_clearly_rejected(
    api: tuple[ApiUnderTest, dict[str, str]], profile: Any
) -> None:
    app, bearer = api
    response = sent(app, "PATCH", "/v1/me", {"profile": profile}, bearer)
    if response.status_code == 200:
        assert response.json == app.client.get("/v1/me", headers=bearer).json
        reset = dict.fromkeys(response.json["profile"]) | GIVEN
        assert sent(app, "PATCH", "/v1/me", {"profile": reset}, bearer).json["profile"] == GIVEN
    else:
        assert is_clear(response)
        assert app.client.get("/v1/me", headers=bearer).json["profile"] == GIVEN


def sent(api: ApiUnderTest, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
    content = json.dumps(body).encode()
    return api.client.open(path, method=method, data=content, headers={"Content-Type": "application/json"} | headers)


def is_clear(response: Any) -> bool:
    """Return whether it is a problem about the body whose violations are in the profile."""
    if response.json["code"] == "malformed_json":
        return bool(response.status_code == 400)
    pointers = [violation["pointer"] for violation in response.json["errors"]]
    return response.status_code == 422 and all(pointer.startswith("#/profile") for pointer in pointers)
