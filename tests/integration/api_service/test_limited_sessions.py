"""Registrations get limited sessions before their activation (UNCONFIRMED_ACCESS=limited)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import jwt
import pytest
from werkzeug.test import TestResponse

from api_service.http.annotations import Mark, marks_of
from tests.support.accounts import ADA, NEW_PASSWORD, problem, templates_sent_to
from tests.support.api import PASSWORD, ApiUnderTest, api_on, shared_api
from tests.support.databases import Database
from tests.support.eventually import eventually

STRANGERS = "a password of the stranger"
BOTH = {"email": ADA, "phone": "+447400123456"}
Tokens = dict[str, Any]


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database, UNCONFIRMED_ACCESS="limited") as api:
        yield api


def registered(api: ApiUnderTest, **body: Any) -> Tokens:
    """Register, and return the registration with its session."""
    response = api.register(**body)
    assert response.status_code == 202, response.text
    document: Tokens = response.json
    return document


def id_of(registration: Tokens) -> UUID:
    return UUID(registration["id"])


def sign_in(api: ApiUnderTest, password: str = PASSWORD, email: str = ADA) -> TestResponse:
    return api.client.post("/v1/sessions", json={"email": email, "password": password})


def refresh(api: ApiUnderTest, tokens: Tokens) -> TestResponse:
    return api.client.post("/v1/sessions/refresh", json={"refresh_token": tokens["refresh_token"]})


def request(api: ApiUnderTest, tokens: Tokens, method: str, path: str, **body: Any) -> TestResponse:
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    return api.client.open(path, method=method, headers=headers, json=body or None)


def me(api: ApiUnderTest, tokens: Tokens) -> TestResponse:
    return request(api, tokens, "GET", "/v1/me")


def claims(tokens: Tokens) -> dict[str, Any]:
    return jwt.decode(tokens["access_token"], options={"verify_signature": False})


def verified(tokens: Tokens) -> tuple[bool, bool]:
    """Return what other services read: whether the e-mail address and the number are proven."""
    read = claims(tokens)
    return read["email_verified"], read["phone_number_verified"]


def expire(api: ApiUnderTest, registration: Tokens) -> None:
    """Let the registration's codes expire, but not the stored end of its sessions."""
    api.rows("update tokens set expires_at = now() where user_id = %s", registration["id"])


def test_a_registration_returns_a_session_that_is_not_verified(api: ApiUnderTest) -> None:
    registration = registered(api, **BOTH, full_name="Ada")

    assert (registration["status"], registration["token_type"], registration["expires_in"]) == (
        "pending",
        "Bearer",
        600,
    )
    assert verified(registration) == (False, False)
    assert claims(registration)["sub"] == registration["id"]
    assert me(api, registration).json | {"created_at": None} == {
        "id": registration["id"],
        "email": ADA,
        "is_email_verified": False,
        "phone": "+447400123456",
        "is_phone_verified": False,
        "full_name": "Ada",
        "locale": "en",
        "profile": {},
        "created_at": None,
    }


def test_without_the_setting_a_registration_returns_no_session(own_api: ApiUnderTest) -> None:
    response = own_api.register()

    assert "access_token" not in response.json
    assert problem(sign_in(own_api)) == (403, "account_not_activated")
    assert own_api.rows("select 1 from sessions") == []


def test_a_response_that_waited_for_the_message_has_the_session_too(api: ApiUnderTest) -> None:
    response = api.client.post(
        "/v1/registrations", json={"email": ADA, "password": PASSWORD}, headers={"Prefer": "wait=1"}
    )

    assert response.headers["Preference-Applied"] == "wait=1"
    assert me(api, response.json).status_code == 200
    assert refresh(api, response.json).status_code == 200


def test_a_replayed_registration_contains_no_tokens(api: ApiUnderTest) -> None:
    body, key = {"email": ADA, "password": PASSWORD}, {"Idempotency-Key": "a-key-of-a-registration"}
    first, second = (api.client.post("/v1/registrations", json=body, headers=key).json for _ in range(2))

    assert first.keys() - second.keys() == {"access_token", "refresh_token"}
    assert first["id"] == second["id"]
    assert first["refresh_token"] not in str(api.rows("select * from idempotency_keys"))


REFUSED = [
    ("POST", "/v1/me/password", {"old_password": PASSWORD, "new_password": NEW_PASSWORD}),
    ("POST", "/v1/me/email", {"email": "eve@example.org", "password": PASSWORD}),
    ("POST", "/v1/me/phone", {"phone": "+447400123457", "password": PASSWORD}),
    ("POST", "/v1/me/email/confirm", {"code": "000000"}),
    ("POST", "/v1/me/phone/confirm", {"code": "000000"}),
    ("DELETE", "/v1/me", {"password": PASSWORD}),
    ("GET", "/v1/me/export", {}),
    ("GET", "/v1/sessions", {}),
    ("DELETE", "/v1/sessions/0192f0c4-7a3e-7cc1-9a55-3d1f0a9b8c7d", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), REFUSED)
def test_a_limited_session_may_not_change_or_list_anything(
    api: ApiUnderTest, method: str, path: str, body: dict[str, str]
) -> None:
    registration = registered(api)
    before = api.count_rows(), api.user(id_of(registration))

    response = request(api, registration, method, path, **body)

    assert problem(response) == (403, "account_not_activated")
    assert response.json["resend"] == f"/v1/registrations/{registration['id']}/resend"
    assert (api.count_rows(), api.user(id_of(registration))) == before


def test_only_two_routes_admit_limited_sessions(api: ApiUnderTest) -> None:
    marks = {name: marks_of(view) for name, view in api.app.view_functions.items()}
    admitting = {name for name, found in marks.items() if Mark.AUTHENTICATED in found and Mark.ACTIVATED not in found}

    assert admitting == {"me.get_me", "sessions.delete_current_session"}


def test_signing_out_ends_the_limited_session_only(api: ApiUnderTest) -> None:
    first, second = registered(api), sign_in(api).json

    assert request(api, second, "DELETE", "/v1/sessions/current").status_code == 204
    assert me(api, second).status_code == refresh(api, second).status_code == 401
    assert me(api, first).status_code == 200


def test_a_refreshed_session_is_still_limited(api: ApiUnderTest) -> None:
    registration = registered(api)

    refreshed = refresh(api, registration).json

    assert verified(refreshed) == (False, False)
    assert me(api, refreshed).json["id"] == registration["id"]
    assert problem(request(api, refreshed, "GET", "/v1/me/export")) == (403, "account_not_activated")


def test_a_used_refresh_token_ends_the_session_without_a_message(api: ApiUnderTest) -> None:
    registration = registered(api)
    refreshed = refresh(api, registration).json

    assert problem(refresh(api, registration)) == (401, "invalid_refresh_token")
    assert me(api, refreshed).status_code == 401
    assert templates_sent_to(api, id_of(registration)) == ["activation"]


def test_the_session_and_its_access_token_end_with_the_registration(database: Database) -> None:
    with api_on(database, UNCONFIRMED_ACCESS="limited", ACTIVATION_SMS_LIFETIME_SECONDS="100") as api:
        registration = registered(api, phone="+447400123456")
        refreshed = refresh(api, registration).json
        assert registration["expires_in"] == 100
        assert 90 < refreshed["expires_in"] <= 100
        assert claims(refreshed)["exp"] - claims(refreshed)["iat"] <= 100
        [session] = api.rows("select expires_at from sessions")
        assert session.expires_at == api.tokens(id_of(registration))[0].expires_at

        expire(api, registration)

        assert problem(me(api, refreshed)) == (401, "invalid_token")
        assert problem(refresh(api, refreshed)) == (401, "invalid_refresh_token")


def test_a_refresh_after_a_resend_extends_the_session(api: ApiUnderTest) -> None:
    registration = registered(api)
    api.rows("update tokens set created_at = now() - interval '23 h', expires_at = now() + interval '1 h'")
    assert api.resend(id_of(registration)).status_code == 202

    assert refresh(api, registration).status_code == 200

    [session] = api.rows("select expires_at > now() + interval '23 h' as is_extended from sessions")
    assert session.is_extended


def test_an_expired_registration_can_sign_in_after_a_resend(api: ApiUnderTest) -> None:
    registration = registered(api)
    expire(api, registration)

    refused = sign_in(api)
    assert problem(refused) == (403, "account_not_activated")
    assert api.client.post(refused.json["resend"], json={}).status_code == 202
    assert verified(sign_in(api).json) == (False, False)


def test_a_registration_that_the_owner_of_the_address_cancels_has_no_session(api: ApiUnderTest) -> None:
    registration = registered(api)

    api.client.post("/activate/decline", data={"token": api.link_token(id_of(registration))})

    assert me(api, registration).status_code == refresh(api, registration).status_code == 401
    assert problem(sign_in(api)) == (403, "account_not_activated")

    assert api.resend(id_of(registration)).status_code == 202
    assert me(api, registration).status_code == refresh(api, registration).status_code == 401


def test_pending_decoy_and_retired_registrations_sign_in_to_limited_sessions(api: ApiUnderTest) -> None:
    pending = registered(api, email="pending@example.org")
    api.activated(email="taken@example.org", password=STRANGERS)
    decoy = registered(api, email="taken@example.org")
    first = api.registered(email="retired@example.org", password=STRANGERS)
    retired = registered(api, email="retired@example.org")
    api.activate(first)

    for registration in (pending, decoy, retired):
        user = me(api, registration).json
        signed_in = sign_in(api, email=user["email"])
        assert (signed_in.status_code, verified(signed_in.json)) == (201, (False, False))
        assert me(api, signed_in.json).json == user
        assert user["id"] == registration["id"]
    for email in ("taken@example.org", "retired@example.org"):
        assert verified(sign_in(api, STRANGERS, email).json) == (True, False)
        assert problem(sign_in(api, NEW_PASSWORD, email)) == (401, "invalid_credentials")


def test_the_code_ends_all_limited_sessions_and_starts_a_full_one(api: ApiUnderTest) -> None:
    registration = registered(api, **BOTH)
    other = sign_in(api).json

    full = api.activate(id_of(registration)).json

    assert verified(full) == (True, False)
    for limited in (registration, other):
        assert problem(me(api, limited)) == (401, "invalid_token")
        assert problem(refresh(api, limited)) == (401, "invalid_refresh_token")
    assert me(api, full).json["is_email_verified"] is True
    assert verified(refresh(api, full).json) == (True, False)
    assert [row.is_limited for row in api.rows("select is_limited from sessions")] == [False]
    assert templates_sent_to(api, id_of(registration)) == ["activation", "welcome"]


def test_a_link_always_needs_the_password(api: ApiUnderTest) -> None:
    registration = registered(api)
    link_token = api.link_token(id_of(registration))

    assert problem(api.activate_by_link(link_token)) == (403, "password_required")
    assert problem(api.activate_by_link(link_token, password=NEW_PASSWORD)) == (403, "wrong_password")
    assert me(api, registration).status_code == 200
    activated = api.activate_by_link(link_token, password=PASSWORD)

    assert (activated.status_code, activated.json) == (200, {"status": "active"})
    assert me(api, registration).status_code == refresh(api, registration).status_code == 401
    assert verified(sign_in(api).json) == (True, False)


def test_the_page_behind_a_link_asks_for_the_password_at_once(api: ApiUnderTest) -> None:
    registration = registered(api)
    link_token = api.link_token(id_of(registration))

    shown = api.client.get("/activate", query_string={"token": link_token})
    unfilled = api.client.post("/activate", data={"token": link_token})
    filled = api.client.post("/activate", data={"token": link_token, "password": PASSWORD})

    assert [page.status_code for page in (shown, unfilled, filled)] == [200, 403, 200]
    for page in (shown, unfilled):
        assert '<input id="password" type="password" name="password"' in page.text
        assert "more than once" not in page.text
    assert "Your account is active" in filled.text


@pytest.mark.parametrize("is_stranger_first", [True, False])
def test_a_stranger_who_registered_the_address_gets_no_access_to_the_account(
    api: ApiUnderTest, *, is_stranger_first: bool
) -> None:
    """Pre-hijacking (Sudhodanan and Paverd, USENIX Security 2022)."""
    if is_stranger_first:
        strangers, owners = registered(api, password=STRANGERS), registered(api, full_name="Ada")
    else:
        owners, strangers = registered(api, full_name="Ada"), registered(api, password=STRANGERS)
    strangers_link = api.link_token(id_of(strangers))

    assert problem(api.activate_by_link(strangers_link)) == (403, "password_required")
    full = api.activate(id_of(owners)).json
    strangers = refresh(api, strangers).json | {"id": strangers["id"]}

    # The stranger's session goes on, because its end would reveal the activation. It shows the stranger's input only.
    assert me(api, strangers).json | {"created_at": None} == {
        "id": strangers["id"],
        "email": ADA,
        "is_email_verified": False,
        "phone": None,
        "is_phone_verified": False,
        "full_name": None,
        "locale": "en",
        "profile": {},
        "created_at": None,
    }
    assert verified(strangers) == (False, False)
    assert problem(api.activate_by_link(strangers_link, password=STRANGERS)) == (400, "invalid_or_expired")
    assert problem(api.activate(id_of(strangers))) == (400, "invalid_or_expired")
    assert problem(request(api, strangers, "GET", "/v1/me/export")) == (403, "account_not_activated")
    assert problem(sign_in(api, NEW_PASSWORD)) == (401, "invalid_credentials")
    assert me(api, full).json["full_name"] == "Ada"

    expire(api, strangers)

    assert me(api, strangers).status_code == refresh(api, strangers).status_code == 401
    assert sign_in(api, STRANGERS).status_code in (401, 403)
    assert me(api, full).status_code == 200


def test_a_resend_after_another_activation_gives_no_right_to_activate(api: ApiUnderTest) -> None:
    strangers, owners = registered(api, password=STRANGERS), registered(api)
    api.activate(id_of(owners))

    assert api.resend(id_of(strangers)).status_code == 202
    assert problem(api.activate(id_of(strangers))) == (400, "invalid_or_expired")
    assert verified(refresh(api, strangers).json) == (False, False)


def test_a_sign_in_during_the_activation_gets_a_full_session(api: ApiUnderTest) -> None:
    registration = registered(api)
    activation = "update users set status = 'active', email_verified_at = now(), activated_at = now() where id = %s"
    with api.database.connect() as elsewhere, ThreadPoolExecutor(1) as someone:
        with elsewhere.transaction():
            elsewhere.execute(activation, [registration["id"]])
            elsewhere.execute("delete from sessions where user_id = %s", [registration["id"]])
            response = someone.submit(sign_in, api)
            eventually(api.count_waiting)
        tokens = response.result(30).json

    assert verified(tokens) == (True, False)
    assert request(api, tokens, "GET", "/v1/me/export").status_code == 200


def test_a_refresh_during_the_activation_is_refused(api: ApiUnderTest) -> None:
    registration = registered(api)
    with api.database.connect() as elsewhere, ThreadPoolExecutor(1) as someone:
        with elsewhere.transaction():
            elsewhere.execute("delete from sessions where user_id = %s", [registration["id"]])
            response = someone.submit(refresh, api, registration)
            eventually(api.count_waiting)
        assert problem(response.result(30)) == (401, "invalid_refresh_token")


def test_limited_sessions_end_when_the_setting_is_turned_off(api: ApiUnderTest) -> None:
    registration, full = registered(api), api.activate(api.registered(email="bob@example.org")).json
    with api_on(api.database) as without:
        assert problem(me(without, registration)) == (401, "invalid_token")
        assert problem(refresh(without, registration)) == (401, "invalid_refresh_token")
        assert me(without, full).status_code == 200
        assert without.activate(id_of(registration)).status_code == 200

    assert problem(me(api, registration)) == (401, "invalid_token")


def test_a_new_limited_session_ends_no_session_of_another_registration(api: ApiUnderTest) -> None:
    first = registered(api, password=STRANGERS)
    second = registered(api)
    for _ in range(3):
        assert sign_in(api).status_code == 201

    assert me(api, first).status_code == me(api, second).status_code == 200
    assert {row.user_id for row in api.rows("select user_id from sessions")} == {id_of(first), id_of(second)}
