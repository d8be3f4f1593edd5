from collections.abc import Iterator

import pytest
from werkzeug.test import TestResponse

from devstack.cluster import Cluster
from tests.support.api import ApiUnderTest, api_on
from tests.support.databases import fresh_database

HOME = "https://app.example.org"


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[ApiUnderTest]:
    settings = {"CORS_ORIGINS": f"{HOME}, http://localhost:3000", "PUBLIC_URL": "https://signpost.example.org"}
    with fresh_database(cluster) as database, api_on(database, **settings) as api:
        yield api


def preflight(api: ApiUnderTest, origin: str, path: str = "/v1/registrations") -> TestResponse:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return api.client.options(path, headers=headers)


def test_an_allowed_origin_may_send_and_read(api: ApiUnderTest) -> None:
    asked = preflight(api, HOME)
    response = api.client.post("/v1/registrations", json={}, headers={"Origin": HOME})

    assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (200, HOME)
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    assert "Idempotency-Key" in asked.headers["Access-Control-Allow-Headers"]
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (422, HOME)
    assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]
    assert "Origin" in response.vary


@pytest.mark.parametrize(
    "origin",
    ["https://example.org", "https://app.example.org.evil.example", "http://app.example.org", "null", "*", "",
     "https://APP.example.org", "https://app.example.org/"],
)  # fmt: skip
def test_other_origins_get_only_a_vary_header(api: ApiUnderTest, origin: str) -> None:
    for response in (preflight(api, origin), api.client.get("/v1/nowhere", headers={"Origin": origin})):
        assert not [name for name, _ in response.headers if name.startswith("Access-Control")]
        assert "Origin" in response.vary


def test_no_origin_may_send_browser_credentials(api: ApiUnderTest) -> None:
    assert "Access-Control-Allow-Credentials" not in preflight(api, HOME).headers


def test_pages_and_metrics_have_no_cors_headers(api: ApiUnderTest) -> None:
    for path in ("/activate", "/docs"):
        assert "Access-Control-Allow-Origin" not in preflight(api, HOME, path).headers


def test_by_default_no_other_origin_is_allowed(cluster: Cluster) -> None:
    with fresh_database(cluster) as database, api_on(database, PUBLIC_URL="http://localhost:8000") as api:
        response = preflight(api, HOME)
    assert not [name for name, _ in response.headers if name.startswith("Access-Control")]
    assert "Strict-Transport-Security" not in response.headers


def test_responses_require_https_and_no_referrer(api: ApiUnderTest) -> None:
    for response in (api.client.get("/activate?token=x"), api.client.get("/nowhere")):
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    policy = api.client.get("/activate?token=x").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    assert "unsafe" not in policy
