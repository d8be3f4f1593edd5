import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import UUID, uuid4

import jwt
import pytest
from psycopg.errors import LockNotAvailable
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from api_service.security.access_tokens import CurrentUser
from api_service.services import EXTENSION
from api_service.use_cases.security_events import Client
from api_service.use_cases.sessions import (
    MAX_SESSIONS,
    Candidate,
    RefreshToken,
    SessionContext,
    SessionPolicy,
    StartedSession,
    end_sessions_of,
    lock_session,
    start_session,
)
from shared.models import User
from shared.secrets import link_token_for
from shared.vocabulary import UserStatus
from shared.web.problems import InvalidTokenError
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import Database
from tests.support.keys import KEY, KEYS, PUBLIC_URL

Tokens = dict[str, str]
A_MONTH = SessionPolicy(idle=timedelta(days=30), lifetime=timedelta(days=90))


def signed_in(api: ApiUnderTest, email: str = "ada@example.org", **headers: str) -> Tokens:
    """Sign in as an active user, and return the tokens."""
    if not api.rows("select 1 from users where email = %s and status = 'active'", email):
        api.activated(email=email)
        api.rows("delete from sessions where user_id in (select id from users where email = %s)", email)
    response = api.client.post("/v1/sessions", json={"email": email, "password": PASSWORD}, headers=headers)
    tokens: Tokens = response.json
    return tokens


def bearing(tokens: Tokens) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def refresh(api: ApiUnderTest, refresh_token: object) -> TestResponse:
    return api.app.test_client().post("/v1/sessions/refresh", json={"refresh_token": refresh_token})


def listed(api: ApiUnderTest, tokens: Tokens) -> list[dict[str, object]]:
    sessions: list[dict[str, object]] = api.client.get("/v1/sessions", headers=bearing(tokens)).json["sessions"]
    return sessions


def is_signed_in(api: ApiUnderTest, tokens: Tokens) -> bool:
    response = api.client.get("/v1/me", headers=bearing(tokens))
    assert response.status_code in (200, 401)
    return response.status_code == 200


def session_id_in(tokens: Tokens) -> UUID:
    return UUID(jwt.decode(tokens["access_token"], options={"verify_signature": False})["sid"])


def problem(response: TestResponse) -> tuple[int, str]:
    return response.status_code, response.json["code"]


def test_a_refresh_returns_new_tokens_of_the_same_session(api: ApiUnderTest) -> None:
    first = signed_in(api)

    response = refresh(api, first["refresh_token"])

    second = response.json
    assert response.status_code == 200
    assert second.keys() == first.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert second["refresh_token"] != first["refresh_token"]
    assert session_id_in(second) == session_id_in(first)
    assert is_signed_in(api, second)
    assert refresh(api, second["refresh_token"]).status_code == 200


def test_reuse_of_a_refresh_token_ends_only_its_session(api: ApiUnderTest) -> None:
    stolen, elsewhere = signed_in(api), signed_in(api)
    newest = refresh(api, refresh(api, stolen["refresh_token"]).json["refresh_token"]).json

    with capture_logs() as logged:
        again = refresh(api, stolen["refresh_token"])

    assert problem(again) == (401, "invalid_refresh_token")
    [(user_id,)] = api.rows("select id from users")
    [reported] = [line for line in logged if line["event"] == "refresh token reused, session ended"]
    assert (reported["log_level"], reported["user_id"]) == ("warning", str(user_id))
    assert again.headers["WWW-Authenticate"] == 'Bearer realm="signpost"'
    assert refresh(api, newest["refresh_token"]).status_code == 401
    assert not is_signed_in(api, newest)
    assert is_signed_in(api, elsewhere)


def test_one_of_concurrent_refreshes_gets_tokens_and_the_session_ends(api: ApiUnderTest) -> None:
    start = Barrier(4)

    def refresh_with_the_others(tokens: Tokens) -> TestResponse:
        start.wait()
        return refresh(api, tokens["refresh_token"])

    with ThreadPoolExecutor(4) as crowd:
        for _ in range(5):
            responses = list(crowd.map(refresh_with_the_others, [signed_in(api)] * 4))
            assert sorted(response.status_code for response in responses) == [200, 401, 401, 401]
            assert api.rows("select 1 from sessions") == []


def test_the_stored_hash_of_a_refresh_token_does_not_refresh(api: ApiUnderTest) -> None:
    tokens = signed_in(api)
    [row] = api.rows("select * from sessions")
    stored = base64.urlsafe_b64encode(row.family_hash + row.refresh_hash).rstrip(b"=").decode()

    assert problem(refresh(api, stored)) == (401, "invalid_refresh_token")
    assert refresh(api, tokens["refresh_token"]).status_code == 200
    text = api.rows("select sessions::text as all_of_it from sessions")[0].all_of_it
    raw = base64.urlsafe_b64decode(tokens["refresh_token"] + "==")
    assert raw[:32].hex() not in text
    assert raw[32:].hex() not in text


def test_tokens_of_another_purpose_do_not_refresh_and_end_nothing(api: ApiUnderTest) -> None:
    tokens = signed_in(api)
    user_id = api.rows("select user_id from sessions")[0].user_id

    others = [
        link_token_for(api.tokens(user_id)[0].id, KEY),
        str(session_id_in(tokens)),
        tokens["refresh_token"][:-1],
        tokens["refresh_token"] + "A",
        tokens["refresh_token"] + "==",
        " " + tokens["refresh_token"],
        tokens["refresh_token"].replace(tokens["refresh_token"][0], "é", 1),
        "A" * 86,
        "",
    ]

    assert {problem(refresh(api, other)) for other in others} == {(401, "invalid_refresh_token")}
    assert problem(refresh(api, tokens["access_token"])) == (422, "validation_failed")  # it is too long
    assert is_signed_in(api, tokens)


def test_a_refresh_extends_a_session_within_its_lifetime(api: ApiUnderTest) -> None:
    tokens = signed_in(api)
    api.rows("update sessions set created_at = now() - interval '50 days', expires_at = now() + interval '1 day'")
    tokens = refresh(api, tokens["refresh_token"]).json
    [young] = api.rows("select * from sessions")
    api.rows("update sessions set created_at = created_at - interval '30 days'")
    refresh(api, tokens["refresh_token"])
    [old] = api.rows("select * from sessions")

    assert young.expires_at - young.last_used_at == timedelta(days=30)
    assert old.expires_at - old.created_at == timedelta(days=90)


def test_an_expired_session_is_invalid_for_each_use(api: ApiUnderTest) -> None:
    expired, living = signed_in(api), signed_in(api)
    api.rows("update sessions set expires_at = now() where id = %s", session_id_in(expired))

    assert problem(refresh(api, expired["refresh_token"])) == (401, "invalid_refresh_token")
    assert not is_signed_in(api, expired)
    assert [each["id"] for each in listed(api, living)] == [str(session_id_in(living))]


def test_signing_out_ends_the_session_at_once(api: ApiUnderTest) -> None:
    tokens, elsewhere = signed_in(api), signed_in(api)

    response = api.client.delete("/v1/sessions/current", headers=bearing(tokens))

    assert (response.status_code, response.data) == (204, b"")
    assert not is_signed_in(api, tokens)
    assert refresh(api, tokens["refresh_token"]).status_code == 401
    assert is_signed_in(api, elsewhere)


def test_a_user_sees_only_their_own_sessions(api: ApiUnderTest) -> None:
    phone = signed_in(api, **{"User-Agent": "A phone"})
    signed_in(api, "bob@example.org")
    laptop = signed_in(api, **{"User-Agent": "A laptop"})

    sessions = listed(api, laptop)

    assert [(each["id"], each["user_agent"], each["is_current"]) for each in sessions] == [
        (str(session_id_in(laptop)), "A laptop", True),
        (str(session_id_in(phone)), "A phone", False),
    ]
    assert sessions[0].keys() == {"id", "created_at", "last_used_at", "expires_at", "user_agent", "is_current"}
    refresh(api, phone["refresh_token"])
    assert [each["user_agent"] for each in listed(api, laptop)] == ["A phone", "A laptop"]


def test_a_user_can_end_only_their_own_sessions(api: ApiUnderTest) -> None:
    ada, lost, bob = signed_in(api), signed_in(api), signed_in(api, "bob@example.org")

    def end(session_id: object) -> TestResponse:
        return api.client.delete(f"/v1/sessions/{session_id}", headers=bearing(ada))

    assert end(session_id_in(lost)).status_code == 204
    for unknown in (session_id_in(lost), session_id_in(bob), uuid4(), "7", "current%00"):
        assert problem(end(unknown)) == (404, "not_found")
    assert [is_signed_in(api, tokens) for tokens in (ada, lost, bob)] == [True, False, True]


def test_ending_all_sessions_of_a_user_ends_no_other_s(api: ApiUnderTest) -> None:
    ada, again, bob = signed_in(api), signed_in(api), signed_in(api, "bob@example.org")
    user_id = api.rows("select user_id from sessions where id = %s", session_id_in(ada))[0].user_id

    with api.app.extensions[EXTENSION].sessions.begin() as session:
        end_sessions_of(session, user_id)

    assert [is_signed_in(api, tokens) for tokens in (ada, again, bob)] == [False, False, True]


def test_a_new_session_replaces_the_users_least_recently_used_one(api: ApiUnderTest) -> None:
    oldest, second = signed_in(api), signed_in(api)
    user_id = api.rows("select user_id from sessions limit 1")[0].user_id
    bob = signed_in(api, "bob@example.org")
    api.rows("update sessions set last_used_at = now() + interval '1 h' where id = %s", session_id_in(bob))
    oldest = refresh(api, oldest["refresh_token"]).json
    for _ in range(MAX_SESSIONS - 1):
        with api.app.extensions[EXTENSION].sessions.begin() as session:
            context = SessionContext(A_MONTH, None, Client(None, None, KEYS))
            start_session(session, session.get_one(User, user_id), context)

    assert not is_signed_in(api, second)
    assert len(listed(api, oldest)) == MAX_SESSIONS
    assert is_signed_in(api, bob)


def test_a_valid_signature_without_a_session_is_not_enough(api: ApiUnderTest) -> None:
    """A holder of SECRET_KEYS could forge such a token without knowing ids of sessions."""
    tokens, bob = signed_in(api), signed_in(api, "bob@example.org")
    issuer = api.app.extensions[EXTENSION].access_tokens
    user_id = api.rows("select user_id from sessions where id = %s", session_id_in(tokens))[0].user_id

    for session_id in (uuid4(), session_id_in(bob)):
        forged = {"access_token": issuer.issue(CurrentUser(user_id, session_id), datetime.now(UTC))}
        assert not is_signed_in(api, forged)


def test_the_key_set_suffices_to_verify_an_access_token(api: ApiUnderTest) -> None:
    tokens = signed_in(api)

    response = api.client.get("/.well-known/jwks.json")

    [key] = jwt.PyJWKSet.from_dict(response.json).keys
    read = jwt.decode(tokens["access_token"], key, algorithms=["EdDSA"], audience=PUBLIC_URL, issuer=PUBLIC_URL)
    assert read["sid"] == str(session_id_in(tokens))
    assert response.headers["Cache-Control"] == "public, max-age=300"


def test_settings_determine_the_lifetimes_of_tokens_and_sessions(database: Database) -> None:
    settings = {"ACCESS_TOKEN_LIFETIME_SECONDS": "90", "SESSION_IDLE_DAYS": "2", "SESSION_LIFETIME_DAYS": "3"}
    with api_on(database, **settings) as api:
        tokens = signed_in(api)
        [row] = api.rows("select expires_at - created_at as length from sessions")

    assert tokens["expires_in"] == 90
    assert row.length == timedelta(days=2)


def test_only_a_session_that_lives_can_be_locked(api: ApiUnderTest) -> None:
    ended, other = session_id_in(signed_in(api)), session_id_in(signed_in(api))
    api.rows("delete from sessions where id = %s", ended)
    with api.app.extensions[EXTENSION].sessions.begin() as session:
        lock_session(session, other)
        with pytest.raises(InvalidTokenError):
            lock_session(session, ended)


def test_a_locked_session_can_be_refreshed_and_not_ended(api: ApiUnderTest) -> None:
    session_id = session_id_in(signed_in(api))
    with api.app.extensions[EXTENSION].sessions.begin() as session:
        lock_session(session, session_id)
        # A refresh changes no key, so it takes a weaker lock than a deletion.
        assert len(api.rows("select id from sessions for no key update nowait")) == 1
        with pytest.raises(LockNotAvailable):
            api.rows("select id from sessions for update nowait")


def test_no_secret_is_shown_with_a_session() -> None:
    started = StartedSession(
        uuid4(), uuid4(), "secret", {"motto": "secret"}, is_email_verified=True, is_phone_verified=False
    )
    candidate = Candidate(uuid4(), UserStatus.ACTIVE, "secret")
    assert "secret" not in repr([RefreshToken(b"secret", b"secret"), started, candidate])
