"""While too many requests wait for a password hash, further ones are rejected at once, and others go on."""

import json
from contextlib import AbstractContextManager, ExitStack, suppress
from io import BytesIO
from threading import Event
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api_service.errors import OverloadedError
from api_service.metrics import OVERLOADED
from api_service.security import hash_pool, passwords
from api_service.security.hash_pool import HashPool
from api_service.services import EXTENSION, Services
from tests.support.accounts import ask_for_reset, confirm_reset, newest_code, signed_in
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import Database

ADA = "ada@example.org"


def services_of(api: ApiUnderTest) -> Services:
    services: Services = api.app.extensions[EXTENSION]
    return services


def flooded(pool: HashPool) -> AbstractContextManager[None]:
    """Take all places of the pool."""
    taken = ExitStack()
    with suppress(OverloadedError):
        while True:
            taken.enter_context(pool.admit())
    return taken


def free_places(pool: HashPool) -> int:
    number = 0
    with ExitStack() as taken, suppress(OverloadedError):
        while True:
            taken.enter_context(pool.admit())
            number += 1
    return number


def assert_overloaded(response: TestResponse) -> None:
    assert (response.status_code, response.json["code"]) == (503, "overloaded")
    assert 1 <= int(response.headers["Retry-After"]) <= 4


def sign_in(api: ApiUnderTest, password: str = PASSWORD) -> TestResponse:
    return api.client.post("/v1/sessions", json={"email": ADA, "password": password})


def test_a_flood_of_sign_ins_leaves_registration_activation_and_refresh_alone(api: ApiUnderTest) -> None:
    api.activated(email=ADA)
    refresh_token = sign_in(api).json["refresh_token"]
    rejected = OVERLOADED.labels("sign_in").collect()[0].samples[0].value
    with flooded(services_of(api).sign_in_hashes):
        assert_overloaded(sign_in(api))
        assert_overloaded(sign_in(api, "a wrong password"))
        api.activated(email="bea@example.org")
        assert api.client.post("/v1/sessions/refresh", json={"refresh_token": refresh_token}).status_code == 200
    assert sign_in(api).status_code == 201
    assert OVERLOADED.labels("sign_in").collect()[0].samples[0].value == rejected + 2


def test_a_flood_of_registrations_leaves_sign_in_alone_and_writes_nothing(api: ApiUnderTest) -> None:
    user_id = api.activated(email=ADA)
    headers = {"Authorization": f"Bearer {signed_in(api)}"}
    with flooded(services_of(api).other_hashes):
        assert_overloaded(api.register(email="bea@example.org"))
        change = {"old_password": PASSWORD, "new_password": "four other words here"}
        assert_overloaded(api.client.post("/v1/me/password", json=change, headers=headers))
        assert sign_in(api).status_code == 201
        assert api.look_up(user_id).status_code == 200
    assert api.rows("select count(*) from users")[0].count == 1
    assert api.register(email="bea@example.org").status_code == 202


def test_a_rejected_request_counts_against_no_limit(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", LIMIT_REGISTRATIONS_PER_NETWORK="1/hour") as api:
        with flooded(services_of(api).other_hashes):
            assert_overloaded(api.register())
        assert api.register().status_code == 202
        assert api.register().status_code == 429


def test_a_sign_in_takes_no_place_while_its_body_arrives(api: ApiUnderTest) -> None:
    pool, seen = services_of(api).sign_in_hashes, []

    class ArrivingBody(BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            seen.append(free_places(pool))
            return super().readinto(buffer)

    body = json.dumps({"email": ADA, "password": PASSWORD}).encode()
    before = free_places(pool)
    stream = ArrivingBody(body)
    api.client.post("/v1/sessions", input_stream=stream, content_length=len(body), content_type="application/json")
    assert set(seen) == {before}


def test_rejected_resets_do_not_use_up_the_code(api: ApiUnderTest) -> None:
    api.activated(email=ADA)
    ask_for_reset(api)
    code = newest_code(api, "password_reset")
    with flooded(services_of(api).other_hashes):
        for _ in range(5):  # as many as the code's attempts
            assert_overloaded(confirm_reset(api, code))
    assert confirm_reset(api, code).status_code == 204


def test_a_rejected_request_executes_later_with_the_same_key(api: ApiUnderTest) -> None:
    headers = {"Idempotency-Key": "a-key-that-is-long-enough"}
    body = {"email": ADA, "password": PASSWORD}
    with flooded(services_of(api).other_hashes):
        assert_overloaded(api.client.post("/v1/registrations", json=body, headers=headers))
    executed, repeated = (api.client.post("/v1/registrations", json=body, headers=headers) for _ in range(2))
    assert (executed.status_code, "Idempotency-Replayed" in executed.headers) == (202, False)
    assert (repeated.json, "Idempotency-Replayed" in repeated.headers) == (executed.json, True)
    assert api.count_rows() == (1, 1, 1)


def test_a_compared_password_counts_as_a_guess_however_long_it_takes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []

    def compare(password_hash: str, _password: str) -> bool:
        compared.append(password_hash)
        if len(compared) == 2:  # the first comparison has told the result for the account's holder
            Event().wait(1)
        return False

    monkeypatch.setattr(hash_pool, "DEADLINE_SECONDS", 0.5)
    monkeypatch.setattr(passwords, "verify_password", compare)
    with api_on(database, RATE_LIMITS="on", LIMIT_FAILED_LOGINS_PER_ADDRESS="1/hour") as api:
        assert [sign_in(api, "a wrong password").status_code for _ in range(2)] == [401, 429]


def test_the_activation_page_shows_that_the_service_is_busy(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    form = {"token": api.link_token(registration_id), "password": PASSWORD}
    with flooded(services_of(api).other_hashes):
        page = api.client.post("/activate", data=form)
    assert (page.status_code, page.mimetype) == (503, "text/html")
    assert 1 <= int(page.headers["Retry-After"]) <= 4
    assert api.client.post("/activate", data=form).status_code == 200
