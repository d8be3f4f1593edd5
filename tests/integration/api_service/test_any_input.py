"""Any input gets a clear problem instead of a 500, and leaves the database unchanged."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.cluster import Cluster
from tests.support.any_json import bodies, headers, many, texts, values
from tests.support.api import ApiUnderTest, api_on
from tests.support.databases import fresh_database

UNKNOWN = "/v1/registrations/6f3f9f0e-6a49-4f4d-9a0e-0123456789ab/resend"
PATHS = ("/v1/registrations", "/v1/activations", UNKNOWN)
TAKEN: set[str] = set()
"""The accepted registrations, whose number must equal the rows at the end."""


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[ApiUnderTest]:
    """One database for all tests, with limits that requests check but never reach."""
    relaxed = {"RATE_LIMITS": "on", "LIMIT_REGISTRATIONS_PER_NETWORK": "1000/second", "TRUSTED_PROXIES": "1"}
    relaxed |= {"LIMIT_REGISTRATIONS_PER_ADDRESS": "none", "CORS_ORIGINS": "https://app.example.org"}
    with fresh_database(cluster) as database, api_on(database, **relaxed) as api:
        yield api
        assert api.count_rows() == (len(TAKEN),) * 3


@many
@given(path=st.sampled_from(PATHS), body=bodies | values, sent_with=headers)
def test_any_json_is_accepted_or_clearly_rejected(
    api: ApiUnderTest, path: str, body: Any, sent_with: dict[str, str]
) -> None:
    is_rejected_or_accepted(api, path, json.dumps(body).encode(), {"Content-Type": "application/json"} | sent_with)


@many
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=60))
def test_any_bytes_are_accepted_or_clearly_rejected(api: ApiUnderTest, path: str, body: bytes) -> None:
    is_rejected_or_accepted(api, path, body, {"Content-Type": "application/json"})


@many
@given(query=texts, form=texts)
def test_an_invalid_link_gets_an_error_page(api: ApiUnderTest, query: str, form: str) -> None:
    sent = query.encode("utf-8", "replace").decode(), form.encode("utf-8", "replace").decode()
    assert api.client.get("/activate", query_string={"token": sent[0]}).status_code in (200, 400)
    assert api.client.post("/activate", data={"token": sent[1]}).status_code == 400


def is_rejected_or_accepted(api: ApiUnderTest, path: str, body: bytes, sent_with: dict[str, str]) -> None:
    response = api.client.post(path, data=body, headers=sent_with)
    if response.status_code == 202:
        TAKEN.add(response.json["id"])
        return
    assert 400 <= response.status_code < 500, (response.status_code, body, sent_with)
    assert (response.mimetype, response.json["status"]) == ("application/problem+json", response.status_code)


def test_a_long_list_of_violations_is_truncated_in_a_stable_order(api: ApiUnderTest) -> None:
    body = {"email": "ada"} | {f"x{n:03}": n for n in reversed(range(200))}
    response = api.client.post("/v1/registrations", json=body)

    pointers = [error["pointer"] for error in response.json["errors"]]
    assert pointers == ["#/email", "#/password", *(f"#/x{n:03}" for n in range(48))]
