from collections.abc import Iterator

import pytest
from werkzeug.test import TestResponse

from tests.support.accounts import ADA, NEW_PASSWORD, ask_for_reset, confirm_reset, newest_code, refusal
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import Database

KEY = "5b2f0d3e-7c1a-4e8b-9f66-0a1b2c3d4e5f"
LIMITED = (429, "too_many_requests")


@pytest.fixture
def limited(database: Database) -> Iterator[ApiUnderTest]:
    """Limits as they are by default; proxies say where a request is from."""
    with api_on(database, RATE_LIMITS="on", TRUSTED_PROXIES="1") as api:
        yield api


def log_in(api: ApiUnderTest, password: str, *, email: str = ADA, network: str = "192.0.2.1") -> TestResponse:
    body = {"email": email, "password": password}
    return api.client.post("/v1/sessions", json=body, headers={"X-Forwarded-For": network})


@pytest.mark.parametrize("email", [ADA, "nobody@example.org"])
def test_after_five_wrong_passwords_not_even_the_right_one_is_looked_at(limited: ApiUnderTest, email: str) -> None:
    limited.activated(email=ADA)

    answers = [log_in(limited, f"wrong password {n}", email=email, network=f"192.0.2.{n}") for n in range(5)]

    assert {answer.status_code for answer in answers} == {401}
    refused = log_in(limited, PASSWORD, email=email, network="192.0.2.9")
    assert refusal(refused) == LIMITED
    assert refused.json["limits"] == ["failed_logins_per_address"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 300


def test_a_success_forgets_what_failed_for_the_address_and_not_for_the_network(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)
    for _ in range(2):
        assert [log_in(limited, "a wrong password").status_code for _ in range(4)] == [401] * 4
        assert log_in(limited, PASSWORD).status_code == 201

    others = [log_in(limited, "a wrong password", email=f"x{n}@example.org").status_code for n in range(3)]

    assert others == [401, 401, 429]


def test_the_right_password_of_one_who_is_not_activated_clears_nothing(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)
    limited.register(email=ADA, password=NEW_PASSWORD)

    answers = [log_in(limited, NEW_PASSWORD).status_code for _ in range(6)]

    assert answers == [403] * 5 + [429]


def test_resets_are_limited_for_known_and_unknown_addresses_alike(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)

    for email in (ADA, "nobody@example.org"):
        assert [ask_for_reset(limited, email).status_code for _ in range(6)] == [202] * 5 + [429]


def test_codes_of_resets_are_tried_ten_times_a_day_for_known_and_unknown_addresses(database: Database) -> None:
    with api_on(database, RATE_LIMITS="on", ACTIVATION_ATTEMPTS="20") as api:
        api.activated(email=ADA)
        ask_for_reset(api)
        code = newest_code(api, "password_reset")
        wrong = "000000" if code != "000000" else "000001"
        # Activating was a try of a code, too.
        known = [confirm_reset(api, wrong).status_code for _ in range(9)]
        unknown = [confirm_reset(api, wrong, email="nobody@example.org").status_code for _ in range(11)]

        assert (known, unknown) == ([400] * 9, [400] * 10 + [429])
        assert refusal(confirm_reset(api, code)) == LIMITED


def test_a_reset_whose_answer_got_lost_can_be_repeated(api: ApiUnderTest) -> None:
    user_id = api.activated(email=ADA)
    headers = {"Idempotency-Key": KEY}

    asked = [ask_for_reset(api, **headers) for _ in range(2)]
    body = {"email": ADA, "code": newest_code(api, "password_reset"), "new_password": NEW_PASSWORD}
    confirmed = [api.client.post("/v1/password-resets/confirm", json=body, headers=headers) for _ in range(2)]

    assert asked[0].json == asked[1].json
    assert [answer.status_code for answer in confirmed] == [204, 204]
    assert confirmed[1].headers["Idempotency-Replayed"] == "true"
    templates = [message.template for message in api.messages(user_id)]
    assert (templates.count("password_reset"), templates.count("password_changed")) == (1, 1)


def test_keys_of_one_user_are_not_another_s(api: ApiUnderTest) -> None:
    answers = [change_password(api, email) for email in (ADA, ADA, "grace@example.org")]

    assert [answer.status_code for answer in answers] == [204] * 3
    assert ["Idempotency-Replayed" in answer.headers for answer in answers] == [False, True, False]


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
    assert refusal(change(PASSWORD)) == LIMITED


def test_codes_to_new_addresses_are_limited_as_those_of_resets_are(limited: ApiUnderTest) -> None:
    limited.activated(email=ADA)
    bearer = {"Authorization": f"Bearer {log_in(limited, PASSWORD).json['access_token']}"}
    body = {"phone": "+14155550100", "password": PASSWORD}

    answers = [limited.client.post("/v1/me/phone", json=body, headers=bearer).status_code for _ in range(6)]

    assert answers == [202] * 5 + [429]
