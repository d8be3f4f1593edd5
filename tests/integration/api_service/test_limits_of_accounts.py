from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher
from werkzeug.test import TestResponse

from tests.support.accounts import ADA, NEW_PASSWORD, NUMBER, ask_for_reset, confirm_reset, newest_code, problem
from tests.support.api import PASSWORD, WRONG_CODE, ApiUnderTest, api_on, shared_api
from tests.support.databases import Database

KEY = "5b2f0d3e-7c1a-4e8b-9f66-0a1b2c3d4e5f"
LIMITED = (429, "too_many_requests")


@pytest.fixture
def limited(database: Database) -> Iterator[ApiUnderTest]:
    """The default limits, with clients identified through proxies."""
    with shared_api(database, RATE_LIMITS="on", TRUSTED_PROXIES="1") as api:
        yield api


class CountingHasher(PasswordHasher):
    hashes = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.hashes += 1
        return super().hash(password, salt=salt)


def log_in(api: ApiUnderTest, password: str, *, email: str = ADA, network: str = "192.0.2.1") -> TestResponse:
    body = {"email": email, "password": password}
    return api.client.post("/v1/sessions", json=body, headers={"X-Forwarded-For": network})


@pytest.mark.parametrize("email", [ADA, "nobody@example.org"])
def test_after_five_wrong_passwords_the_correct_one_is_not_compared(limited: ApiUnderTest, email: str) -> None:
    limited.activated(email=ADA)

    responses = [log_in(limited, f"wrong password {n}", email=email, network=f"192.0.2.{n}") for n in range(5)]

    assert {response.status_code for response in responses} == {401}
    refused = log_in(limited, PASSWORD, email=email, network="192.0.2.9")
    assert problem(refused) == LIMITED
    assert refused.json["limits"] == ["failed_logins_per_address"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 300


def test_a_success_refunds_only_its_own_hit(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", LIMIT_FAILED_LOGINS_PER_ADDRESS="9/minute") as limited:
        limited.activated(email=ADA)
        for _ in range(2):
            assert [log_in(limited, "a wrong password").status_code for _ in range(4)] == [401] * 4
            assert log_in(limited, PASSWORD).status_code == 201

        others = [log_in(limited, "a wrong password", email=f"x{n}@example.org").status_code for n in range(3)]

    assert others == [401, 401, 429]


def test_a_sign_in_of_the_owner_does_not_change_the_headers_for_strangers(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)

    def guessed(email: str, *networks: int) -> list[int]:
        return [log_in(limited, "a guess", email=email, network=f"192.0.2.{n}").status_code for n in networks]

    before = [guessed(email, 1, 2, 3, 4) for email in (ADA, "nobody@example.org")]
    assert log_in(limited, PASSWORD, network="198.51.100.1").status_code == 201
    after = [guessed(email, 5, 6, 7) for email in (ADA, "nobody@example.org")]

    assert before == [[401] * 4] * 2
    assert after == [[401, 429, 429]] * 2


def test_a_correct_password_with_a_change_refunds_no_wrong_ones(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)
    bearer = {"Authorization": f"Bearer {log_in(limited, PASSWORD).json['access_token']}"}

    def ask(number: int, password: str) -> int:
        body = {"phone": f"+44740012345{number}", "password": password}
        return limited.client.post("/v1/me/phone", json=body, headers=bearer).status_code

    wrong = [ask(n, "a wrong password") for n in range(4)]
    assert [*wrong, ask(4, PASSWORD), ask(5, "a wrong password"), ask(6, PASSWORD)] == [403] * 4 + [202, 403, 429]


def test_the_correct_password_of_a_pending_user_refunds_nothing(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)
    limited.register(email=ADA, password=NEW_PASSWORD)

    responses = [log_in(limited, NEW_PASSWORD).status_code for _ in range(6)]

    assert responses == [403] * 5 + [429]


def test_resets_are_limited_for_known_and_unknown_addresses_alike(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)

    for email in (ADA, "nobody@example.org"):
        assert [ask_for_reset(limited, email).status_code for _ in range(6)] == [202] * 5 + [429]


def test_reset_codes_have_ten_attempts_a_day_for_known_and_unknown_addresses(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", CODE_ATTEMPTS="20") as api:
        api.activated(email=ADA)
        ask_for_reset(api)
        ask_for_reset(api, "nobody@example.org")
        code = newest_code(api, "password_reset")
        wrong = "000000" if code != "000000" else "000001"
        # The activation counted as an attempt, too.
        known = [confirm_reset(api, wrong).status_code for _ in range(9)]
        unknown = [confirm_reset(api, wrong, email="nobody@example.org").status_code for _ in range(11)]

        assert (known, unknown) == ([400] * 9, [400] * 10 + [429])
        assert problem(confirm_reset(api, code)) == LIMITED


@pytest.mark.parametrize("has_asked", [True, False])
def test_attempts_without_a_code_do_not_count_against_the_address(limited: ApiUnderTest, *, has_asked: bool) -> None:
    limited.activated(email=ADA)
    if has_asked:
        ask_for_reset(limited)
    blind = [problem(confirm_reset(limited, WRONG_CODE)) for _ in range(12)]
    limited.rows("update tokens set expires_at = now()")
    ask_for_reset(limited)

    assert set(blind) == {(400, "invalid_or_expired")}
    assert confirm_reset(limited, newest_code(limited, "password_reset")).status_code == 204


def test_only_a_correct_code_costs_a_hash(limited: ApiUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    limited.activated(email=ADA)
    ask_for_reset(limited)
    hasher = CountingHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("api_service.security.passwords._hasher", hasher)

    confirm_reset(limited, WRONG_CODE)
    confirm_reset(limited, WRONG_CODE, email="nobody@example.org")
    assert hasher.hashes == 0
    assert confirm_reset(limited, newest_code(limited, "password_reset")).status_code == 204
    assert hasher.hashes == 1


def test_an_unproven_registration_cannot_refund_failures_of_the_address(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)
    limited.activated(email=ADA, phone=NUMBER, channel="sms", password=NEW_PASSWORD)

    for _ in range(2):
        assert [log_in(limited, "a wrong password").status_code for _ in range(2)] == [401] * 2
        assert log_in(limited, NEW_PASSWORD).status_code == 201

    assert log_in(limited, "a wrong password").status_code == 401
    assert problem(log_in(limited, PASSWORD, network="192.0.2.9")) == LIMITED


def test_a_request_refused_by_network_does_not_count_against_the_address(database: Database) -> None:
    limits = {"LIMIT_FAILED_LOGINS_PER_NETWORK": "1/minute", "LIMIT_RESETS_PER_NETWORK": "1/minute"}
    with api_on(database, RATE_LIMITS="on", TRUSTED_PROXIES="1", **limits) as api:
        api.activated(email=ADA)
        log_in(api, "a wrong password", email="x@example.org")
        ask_for_reset(api, "x@example.org", **{"X-Forwarded-For": "192.0.2.1"})

        refused = [log_in(api, "a wrong password") for _ in range(9)]
        refused += [ask_for_reset(api, **{"X-Forwarded-For": "192.0.2.1"}) for _ in range(9)]

        assert {problem(response) for response in refused} == {LIMITED}
        assert api.rows("select key from rate_limits where key like '%address%' and cardinality(hits) > 1") == []
        assert log_in(api, PASSWORD, network="192.0.2.2").status_code == 201
        assert ask_for_reset(api, **{"X-Forwarded-For": "192.0.2.2"}).status_code == 202


def test_failed_sign_ins_do_not_block_signed_in_users(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)
    bearer = {"Authorization": f"Bearer {log_in(limited, PASSWORD).json['access_token']}"}
    for n in range(6):
        log_in(limited, "a wrong password", network=f"192.0.2.{n}")

    body = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert limited.client.post("/v1/me/password", json=body, headers=bearer).status_code == 204


def test_a_reset_can_be_repeated_after_its_response_was_lost(api: ApiUnderTest) -> None:
    user_id = api.activated(email=ADA)
    headers = {"Idempotency-Key": KEY}

    asked = [ask_for_reset(api, **headers) for _ in range(2)]
    body = {"email": ADA, "code": newest_code(api, "password_reset"), "new_password": NEW_PASSWORD}
    confirmed = [api.client.post("/v1/password-resets/confirm", json=body, headers=headers) for _ in range(2)]

    assert asked[0].json == asked[1].json
    assert [response.status_code for response in confirmed] == [204, 204]
    assert confirmed[1].headers["Idempotency-Replayed"] == "true"
    templates = [message.template for message in api.messages(user_id)]
    assert (templates.count("password_reset"), templates.count("password_changed")) == (1, 1)


def test_users_do_not_share_idempotency_keys(api: ApiUnderTest) -> None:
    responses = [change_password(api, email) for email in (ADA, ADA, "grace@example.org")]

    assert [response.status_code for response in responses] == [204] * 3
    assert ["Idempotency-Replayed" in response.headers for response in responses] == [False, True, False]


def change_password(api: ApiUnderTest, email: str) -> TestResponse:
    body = {"email": email, "password": NEW_PASSWORD}
    signed_in = api.client.post("/v1/sessions", json=body)
    if signed_in.status_code != 201:
        api.activated(email=email)
        signed_in = api.client.post("/v1/sessions", json=body | {"password": PASSWORD})
    headers = {"Authorization": f"Bearer {signed_in.json['access_token']}", "Idempotency-Key": KEY}
    passwords = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    return api.client.post("/v1/me/password", json=passwords, headers=headers)


def test_an_access_token_does_not_help_to_guess_the_password(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)
    bearer = {"Authorization": f"Bearer {log_in(limited, PASSWORD).json['access_token']}"}

    def change(old_password: str) -> TestResponse:
        body = {"old_password": old_password, "new_password": NEW_PASSWORD}
        return limited.client.post("/v1/me/password", json=body, headers=bearer)

    assert [change(f"a wrong password {n}").status_code for n in range(5)] == [403] * 5
    assert problem(change(PASSWORD)) == LIMITED


def test_codes_to_new_addresses_have_the_limits_of_reset_codes(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)
    bearer = {"Authorization": f"Bearer {log_in(limited, PASSWORD).json['access_token']}"}
    body = {"phone": "+14155550100", "password": PASSWORD}

    responses = [limited.client.post("/v1/me/phone", json=body, headers=bearer).status_code for _ in range(6)]

    assert responses == [202] * 5 + [429]


def test_wrong_passwords_for_an_address_use_up_none_of_its_resets(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)
    limited.activated(email="mallory@example.org")
    token = log_in(limited, PASSWORD, email="mallory@example.org").json["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    body = {"email": ADA, "password": "a wrong password"}

    responses = [limited.client.post("/v1/me/email", json=body, headers=headers).status_code for _ in range(7)]

    assert responses == [403] * 5 + [429] * 2
    assert [ask_for_reset(limited).status_code for _ in range(6)] == [202] * 5 + [429]
