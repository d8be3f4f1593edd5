"""Failed sign-ins and refreshes return clear problems."""

from collections.abc import Iterator

import pytest
from werkzeug.test import TestResponse

from devstack.cluster import Cluster
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import fresh_database

BOTH = {"email": "ada@example.org", "phone": "+33612345678"}


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[ApiUnderTest]:
    """One database for all tests: rejected requests leave it unchanged."""
    with fresh_database(cluster) as database, api_on(database) as api:
        api.activated(**BOTH)
        before = api.rows("select * from sessions")
        yield api
        assert api.rows("select * from sessions") == before


def problem(response: TestResponse) -> tuple[int, str]:
    return response.status_code, response.json["code"]


@pytest.mark.parametrize(
    ("body", "pointer", "violation"),
    [
        ({"email": "ada@example.org"}, "#/password", "required"),
        ({"password": PASSWORD}, "#", "address_required"),
        ({**BOTH, "password": PASSWORD}, "#", "one_address_only"),
        ({"email": "ada@example.org", "password": 123456789012}, "#/password", "invalid_type"),
        ({"email": "ada@example.org", "password": None}, "#/password", "invalid_type"),
        ({"email": "ada@example.org", "password": "x" * 1025}, "#/password", "too_long"),
        ({"email": ["ada@example.org"], "password": PASSWORD}, "#/email", "invalid_type"),
        ({"email": "ada", "password": PASSWORD}, "#/email", "invalid_email"),
        ({"phone": 33612345678, "password": PASSWORD}, "#/phone", "invalid_type"),
        ({"email": "ada@example.org", "password": PASSWORD, "otp": "1"}, "#/otp", "unknown_field"),
    ],
)
def test_invalid_sign_ins_are_reported_field_by_field(
    api: ApiUnderTest, body: dict[str, object], pointer: str, violation: str
) -> None:
    response = api.client.post("/v1/sessions", json=body)

    assert problem(response) == (422, "validation_failed")
    assert [(each["pointer"], each["code"]) for each in response.json["errors"]] == [(pointer, violation)]


@pytest.mark.parametrize("body", [{}, {"refresh_token": 7}, {"refresh_token": None}, {"refresh_token": "A" * 513}])
def test_a_refresh_without_a_token_is_a_violation(api: ApiUnderTest, body: dict[str, object]) -> None:
    response = api.client.post("/v1/sessions/refresh", json=body)

    assert problem(response) == (422, "validation_failed")
    assert [error["pointer"] for error in response.json["errors"]] == ["#/refresh_token"]


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "token_required"),
        ("", "token_required"),
        ("Bearer", "token_required"),
        ("Bearer ", "token_required"),
        ("eyJhbGciOiJFZERTQSJ9.e30.AAAA", "token_required"),
        ("Basic YWRhOnB3", "token_required"),
        ("Bearer nonsense", "invalid_token"),
        ("bearer eyJhbGciOiJub25lIn0.e30.", "invalid_token"),
        ("Bearer " + "A" * 1_000_000, "invalid_token"),
        ("Bearer é\xff", "invalid_token"),
    ],
)
def test_a_request_without_a_token_gets_the_accepted_scheme(
    api: ApiUnderTest, authorization: str | None, code: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    challenge = 'Bearer realm="signpost"' + (', error="invalid_token"' if code == "invalid_token" else "")

    for method, path in (("GET", "/v1/me"), ("GET", "/v1/sessions"), ("DELETE", "/v1/sessions/current")):
        response = api.client.open(path, method=method, headers=headers)
        assert problem(response) == (401, code)
        assert response.headers["WWW-Authenticate"] == challenge
