"""A repeated request counts once, even while the first is in progress."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import g
from werkzeug.test import TestResponse

from api_service.http.idempotency import acquire_key, parse_key, request_key
from api_service.security.hash_pool import HashPool
from api_service.services import EXTENSION
from tests.support.accounts import ADA, NEW_PASSWORD, Account, signed_in
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import Database

KEY = {"Idempotency-Key": "5b2f0d3e-7c1a-4e8b-9f66-0a1b2c3d4e5f"}
BODY = {"email": ADA, "password": PASSWORD}


def post(api: ApiUnderTest) -> TestResponse:
    return api.app.test_client().post("/v1/registrations", json=BODY, headers=KEY)


def test_a_repetition_counts_against_no_limit(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", LIMIT_REGISTRATIONS_PER_ADDRESS="1/hour") as api:
        first = post(api)
        assert post(api).json == first.json
        assert api.register().status_code == 429


def test_one_of_concurrent_requests_with_one_key_counts(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on") as api, ThreadPoolExecutor(5) as crowd:
        responses = list(crowd.map(lambda _: post(api), range(5)))

        assert {response.status_code for response in responses} <= {202, 409}
        assert [row.count for row in api.rows("select cardinality(hits) as count from rate_limits")] == [1, 1]


def test_a_request_whose_key_is_in_use_refunds_only_its_own_hits(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on") as api:
        ada = Account(api, api.activated(email=ADA), signed_in(api))
        wrong = {"email": "countess@example.org", "password": "a wrong password"}
        ada.post("/v1/me/email", **wrong)
        before = hits(api)
        right = wrong | {"password": PASSWORD}
        sessions = api.app.extensions[EXTENSION].sessions
        with api.app.test_request_context("/v1/me/email", method="POST", json=right), sessions.begin() as session:
            g.user_id = ada.id
            g.request_key = request_key(parse_key(KEY["Idempotency-Key"]))
            acquire_key(session)
            response = api.client.post("/v1/me/email", json=right, headers=ada.headers | KEY)

        assert (response.status_code, response.json["code"]) == (409, "idempotency_key_in_use")
        assert "RateLimit" not in response.headers
        assert hits(api) == before


def test_a_request_that_another_one_overtakes_is_replayed_and_refunds_its_hits(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_in_pool = HashPool.hash
    overtaking: list[TestResponse] = []

    def overtaken(pool: HashPool, password: str) -> str:
        monkeypatch.setattr(HashPool, "hash", hash_in_pool)
        overtaking.append(post(api))
        return pool.hash(password)

    with api_on(database, RATE_LIMITS="on") as api:
        monkeypatch.setattr(HashPool, "hash", overtaken)
        response = post(api)

        assert response.headers["Idempotency-Replayed"] == "true"
        assert "RateLimit" not in response.headers
        assert response.json == overtaking[0].json
        assert api.count_rows() == (1, 1, 1)
        assert list(hits(api).values()) == [1, 1]


def test_a_response_without_a_body_is_replayed(database: Database) -> None:
    with api_on(database) as api:
        ada = Account(api, api.activated(email=ADA), signed_in(api))
        body = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
        first, second = (api.client.post("/v1/me/password", json=body, headers=ada.headers | KEY) for _ in range(2))

    assert (first.status_code, second.status_code) == (204, 204)
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"


def hits(api: ApiUnderTest) -> dict[str, int]:
    """Return the number of stored hits by key."""
    rows = api.rows("select key, cardinality(hits) as count from rate_limits where cardinality(hits) > 0")
    return {row.key: row.count for row in rows}
