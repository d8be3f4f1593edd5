"""Any input of a signed-in user, or to sign in with, gets a clear problem and changes no account."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devstack.cluster import Cluster
from tests.support.accounts import ADA, signed_in
from tests.support.any_json import bodies, headers, many, values
from tests.support.api import ApiUnderTest, api_on
from tests.support.databases import fresh_database
from tests.support.organizations import AFTER_ACTIVATION

OWN = ("password", "email", "phone", "email/confirm", "phone/confirm")
PATHS = (
    *(f"/v1/me/{path}" for path in OWN),
    *("/v1/sessions", "/v1/sessions/refresh", "/v1/password-resets/confirm"),
    *("/v1/invitations/accept", "/v1/invitations/register", f"/v1/organizations/{UUID(int=1)}/invitations"),
)
BEARER: dict[str, str] = {}


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[ApiUnderTest]:
    with fresh_database(cluster) as database, api_on(database, **AFTER_ACTIVATION) as api:
        user_id = api.activated(email=ADA, password="known to nobody else")
        BEARER["Authorization"] = f"Bearer {signed_in(api, password='known to nobody else')}"
        before = (api.user(user_id), api.count_rows())
        yield api
        assert (api.user(user_id), api.count_rows()) == before


@many
@given(path=st.sampled_from(PATHS), body=bodies | values, sent_with=headers)
def test_any_json_about_an_account_is_clearly_rejected(
    api: ApiUnderTest, path: str, body: Any, sent_with: dict[str, str]
) -> None:
    sent = {"Content-Type": "application/json"} | BEARER | sent_with
    response = api.client.post(path, data=json.dumps(body).encode(), headers=sent)

    assert 400 <= response.status_code < 500, (response.status_code, path, body, sent_with)
    assert (response.mimetype, response.json["status"]) == ("application/problem+json", response.status_code)


@many
@given(authorization=st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f\xa0")))
@example("=")
def test_no_input_signs_a_user_in(api: ApiUnderTest, authorization: str) -> None:
    for words in (authorization, f"Bearer {authorization}", f"{BEARER['Authorization']}{authorization[:1] or '.'}"):
        assert api.client.get("/v1/me/export", headers={"Authorization": words}).status_code == 401
