from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from flask.testing import FlaskClient
from sqlalchemy.dialects import postgresql
from werkzeug.test import TestResponse

from api_service.security import passwords
from api_service.services import EXTENSION
from api_service.use_cases.sessions import NO_USER, find_candidates, holder_and_newest
from api_service.use_cases.users import Address
from shared.vocabulary import Channel
from tests.support.api import PASSWORD, ApiUnderTest
from tests.support.eventually import eventually

BOTH = {"email": "ada@example.org", "phone": "+33612345678"}


def sign_in(api: ApiUnderTest, password: str = PASSWORD, **address: str) -> TestResponse:
    body = {"password": password, **(address or {"email": "ada@example.org"})}
    return api.client.post("/v1/sessions", json=body)


def me(client: FlaskClient, access_token: str) -> TestResponse:
    return client.get("/v1/me", headers={"Authorization": f"Bearer {access_token}"})


def problem(response: TestResponse) -> tuple[int, str]:
    return response.status_code, response.json["code"]


def test_the_access_token_identifies_the_user(api: ApiUnderTest) -> None:
    user_id = api.activated(full_name="Ada")

    response = sign_in(api)

    assert response.status_code == 201
    assert (response.json["token_type"], response.json["expires_in"]) == ("Bearer", 600)
    known = me(api.client, response.json["access_token"])
    assert (known.status_code, known.headers["Cache-Control"]) == (200, "no-store")
    assert known.json | {"created_at": None} == {
        "id": str(user_id),
        "email": "ada@example.org",
        "is_email_verified": True,
        "phone": None,
        "is_phone_verified": False,
        "full_name": "Ada",
        "locale": "en",
        "profile": {},
        "created_at": None,
    }


@pytest.mark.parametrize("address", [{"email": "ADA@Example.org"}, {"phone": "+33 6 12 34 56 78"}])
def test_sign_in_accepts_any_spelling_of_the_address(api: ApiUnderTest, address: dict[str, str]) -> None:
    api.activated(**BOTH)
    api.rows("update users set phone_verified_at = now()")

    assert sign_in(api, **address).status_code == 201


def test_sign_in_accepts_unicode_variants_of_the_password(api: ApiUnderTest) -> None:
    api.activated(password="une caf\u00e9ti\u00e8re bleue")

    assert sign_in(api, "une cafe\u0301tie\u0300re bleue").status_code == 201


def test_a_wrong_password_and_an_unknown_address_get_the_same_response(api: ApiUnderTest) -> None:
    api.activated()
    api.registered(email="pending@example.org")

    responses = [
        sign_in(api, "four loud words here"),
        sign_in(api, ""),
        sign_in(api, " "),
        sign_in(api, "\0" * 3),
        sign_in(api, "x" * 1000),
        sign_in(api, email="nobody@example.org"),
        sign_in(api, "", email="nobody@example.org"),
        sign_in(api, phone="+33612345678"),
        sign_in(api, "four loud words here", email="pending@example.org"),
    ]

    reported = [response.json | {"request_id": None} for response in responses]
    assert {response.status_code for response in responses} == {401}
    assert reported == [reported[0]] * len(reported)
    assert reported[0]["code"] == "invalid_credentials"
    assert {response.headers["WWW-Authenticate"] for response in responses} == {'Bearer realm="signpost"'}
    assert len({tuple(sorted(set(dict(response.headers)))) for response in responses}) == 1


def test_a_wrong_password_is_always_compared_with_two_hashes(api: ApiUnderTest) -> None:
    for taken in ("holder", "both"):
        api.activated(email=f"{taken}@example.org")
    for registered in ("pending", "both"):
        api.registered(email=f"{registered}@example.org")

    for name, nobodies in {"holder": 0, "both": 0, "pending": 1, "nobody": 2}.items():
        with api.app.extensions[EXTENSION].sessions.begin() as session:
            candidates = find_candidates(session, Address(Channel.EMAIL, f"{name}@example.org"))
        assert len(candidates) == 2
        assert all(passwords.is_current_hash(candidate.password_hash) for candidate in candidates)
        assert [candidate.id for candidate in candidates].count(NO_USER.id) == nobodies


def test_many_pending_registrations_do_not_slow_signing_in(api: ApiUnderTest) -> None:
    api.rows(
        "insert into users (id, email, email_canonical, password_hash, locale)"
        " select gen_random_uuid(), 'ada@example.org', 'ada@example.org', '', 'en' from generate_series(1, 5000)"
    )
    api.rows("analyze users")
    statement = holder_and_newest(Channel.EMAIL).params(canonical="ada@example.org", nobodys_hash="")
    literal = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})

    plan = "\n".join(row[0] for row in api.rows(f"explain {literal}"))

    assert "Index Scan Backward using ix_users_email" in plan
    assert "uq_users_active_email" in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan


def test_a_pending_account_is_revealed_only_with_its_password(api: ApiUnderTest) -> None:
    registration_id = api.registered()

    right, wrong = sign_in(api), sign_in(api, "four loud words here")

    assert problem(right) == (403, "account_not_activated")
    assert right.json["resend"] == f"/v1/registrations/{registration_id}/resend"
    assert problem(wrong) == (401, "invalid_credentials")
    assert api.client.post(right.json["resend"], json={}).status_code == 202
    assert api.activate(registration_id).status_code == 200
    assert sign_in(api).status_code == 201


def test_registering_a_taken_address_and_signing_in_does_not_reveal_it(api: ApiUnderTest) -> None:
    api.activated()
    for address in ("ada@example.org", "free@example.org"):
        api.registered(email=address, password="what a guesser takes")
        response = sign_in(api, "what a guesser takes", email=address)
        assert problem(response) == (403, "account_not_activated")
    assert sign_in(api).status_code == 201


def test_a_retired_user_sees_the_same_problem_as_before(api: ApiUnderTest) -> None:
    first = api.registered(password="the first to come here")
    api.registered(password="the second to come here")
    before = sign_in(api, "the second to come here")
    api.activate(first)

    after = sign_in(api, "the second to come here")

    assert problem(before) == problem(after) == (403, "account_not_activated")
    assert before.json["resend"] == after.json["resend"]
    assert sign_in(api, "the first to come here").status_code == 201


def test_an_unproven_address_cannot_sign_in_if_another_user_proved_it(api: ApiUnderTest) -> None:
    holder = api.activated(password="the holder of the address")
    other = api.activated(email="ada@example.org", phone="+33612345678", channel="sms")

    def signed_in_as(password: str) -> UUID:
        return UUID(me(api.client, sign_in(api, password).json["access_token"]).json["id"])

    assert signed_in_as("the holder of the address") == holder
    assert signed_in_as(PASSWORD) == other


def test_sign_in_renews_a_hash_with_other_parameters(api: ApiUnderTest) -> None:
    user_id = api.activated()
    other = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    api.rows("update users set password_hash = %s", other)

    assert sign_in(api, "four loud words here").status_code == 401
    assert api.user(user_id).password_hash == other
    assert sign_in(api).status_code == 201

    renewed = api.user(user_id).password_hash
    assert renewed != other
    assert passwords.is_current_hash(renewed)
    assert sign_in(api).status_code == 201
    assert api.user(user_id).password_hash == renewed


def test_no_session_starts_with_a_password_that_is_being_replaced(api: ApiUnderTest) -> None:
    user_id = api.activated()
    api.rows("delete from sessions")
    with api.database.connect() as elsewhere, ThreadPoolExecutor(1) as someone:
        with elsewhere.transaction():
            elsewhere.execute("update users set password_hash = 'another' where id = %s", [user_id])
            elsewhere.execute("delete from sessions where user_id = %s", [user_id])
            response = someone.submit(sign_in, api)
            eventually(api.count_waiting)
        assert problem(response.result(30)) == (401, "invalid_credentials")

    assert api.rows("select 1 from sessions") == []


def test_a_session_starts_with_its_policy_and_user_agent(api: ApiUnderTest) -> None:
    api.activated()
    api.rows("delete from sessions")
    name = "Fire\x07fox " + "é" * 300

    api.client.post(
        "/v1/sessions",
        json={"email": "ada@example.org", "password": PASSWORD},
        headers={"User-Agent": name},
    )

    [row] = api.rows("select * from sessions")
    assert row.user_agent == ("Firefox " + "é" * 300)[:120]
    assert row.expires_at - row.created_at == timedelta(days=30)
    assert row.last_used_at == row.created_at


def test_activation_by_code_signs_in_and_by_link_does_not(api: ApiUnderTest) -> None:
    by_code, by_link = api.registered(), api.registered(email="bob@example.org")

    response = api.activate(by_code)
    link_answer = api.activate_by_link(api.link_token(by_link))

    assert response.json["status"] == "active"
    assert UUID(me(api.client, response.json["access_token"]).json["id"]) == by_code
    assert link_answer.json == {"status": "active"}
    assert [row.user_id for row in api.rows("select user_id from sessions")] == [by_code]


def test_a_rejected_code_starts_no_session(api: ApiUnderTest) -> None:
    api.activated()
    decoy = api.registered()
    api.rows("delete from sessions")

    assert api.activate(decoy).status_code == 400
    assert api.rows("select 1 from sessions") == []
