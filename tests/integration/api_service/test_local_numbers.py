"""PHONE_DEFAULT_REGION: phone numbers without a country code, wherever a client gives one."""

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.support.accounts import NEW_PASSWORD, Account, confirm_reset, newest_code, problem, signed_in
from tests.support.api import PASSWORD, ApiUnderTest, api_on, shared_api
from tests.support.databases import Database

LOCAL, STORED = "670123456", "+237670123456"
SPELLINGS = [LOCAL, "6 70 12 34 56", "237670123456", "00237670123456", "+237 670 123 456", STORED]
NEW_LOCAL, NEW_STORED = "677 00 11 22", "+237677001122"


@pytest.fixture
def cameroon(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database, PHONE_DEFAULT_REGION="cm") as api:
        yield api


def sign_in(api: ApiUnderTest, phone: str, password: str = PASSWORD) -> TestResponse:
    return api.client.post("/v1/sessions", json={"phone": phone, "password": password})


def test_an_account_lives_with_local_numbers_and_its_stored_form_is_e164(cameroon: ApiUnderTest) -> None:
    user_id = cameroon.activated(phone=LOCAL)
    assert cameroon.user(user_id).phone == STORED
    assert {message.recipient for message in cameroon.messages(user_id)} == {STORED}

    assert cameroon.client.post("/v1/password-resets", json={"phone": "6 70 12 34 56"}).status_code == 202
    code = newest_code(cameroon, "password_reset")
    assert confirm_reset(cameroon, code, phone="00237670123456").status_code == 204

    account = Account(cameroon, user_id, sign_in(cameroon, LOCAL, NEW_PASSWORD).json["access_token"])
    assert account.get("/v1/me").json["phone"] == STORED
    changed = account.post("/v1/me/phone", phone=NEW_LOCAL, password=NEW_PASSWORD)
    assert (changed.status_code, changed.json["destination"]) == (202, "+23…22")
    assert account.post("/v1/me/phone/confirm", code=newest_code(cameroon, "address_change")).status_code == 204
    assert account.get("/v1/me").json["phone"] == NEW_STORED
    assert sign_in(cameroon, NEW_LOCAL, NEW_PASSWORD).status_code == 201
    assert problem(sign_in(cameroon, LOCAL, NEW_PASSWORD)) == (401, "invalid_credentials")


@pytest.mark.parametrize("phone", SPELLINGS)
def test_every_spelling_of_a_number_is_the_same_account(cameroon: ApiUnderTest, phone: str) -> None:
    cameroon.activated(phone=STORED)
    assert sign_in(cameroon, phone).status_code == 201
    assert cameroon.register(phone=phone).status_code == 202
    [message] = cameroon.rows("select template, recipient from outbox_messages order by id desc limit 1")
    assert (message.template, message.recipient) == ("account_exists", STORED)


def test_a_foreign_number_with_its_country_code_works_as_before(cameroon: ApiUnderTest) -> None:
    user_id = cameroon.activated(phone="+33 6 12 34 56 78")
    assert cameroon.user(user_id).phone == "+33612345678"
    assert sign_in(cameroon, "0033612345678").status_code == 201


def requests_with(phone: str, api: ApiUnderTest) -> dict[str, TestResponse]:
    """Give the number to each endpoint that takes one; return the responses by name."""
    account = Account(api, api.activated(email="bea@example.org"), signed_in(api, "bea@example.org"))

    def post(path: str, **body: Any) -> TestResponse:
        return account.post(path, phone=phone, **body)

    return {
        "registration": post("/v1/registrations", password=PASSWORD),
        "sign-in": post("/v1/sessions", password=PASSWORD),
        "reset": post("/v1/password-resets"),
        "confirmation": post("/v1/password-resets/confirm", code="123456", new_password=NEW_PASSWORD),
        "change": post("/v1/me/phone", password=PASSWORD),
    }


@pytest.mark.parametrize("phone", [LOCAL, "00237670123456", "237670123456"])
def test_without_the_setting_every_endpoint_asks_for_the_country_code(api: ApiUnderTest, phone: str) -> None:
    for response in requests_with(phone, api).values():
        assert problem(response) == (422, "validation_failed")
        assert response.json["errors"] == [
            {
                "pointer": "#/phone",
                "code": "missing_country_code",
                "message": "The phone number needs its country code (+33…).",
            }
        ]


@pytest.mark.parametrize(
    "phone",
    ["0612345678", "670123456 ext 5", "670-ABC-456", "\N{FULLWIDTH DIGIT SIX}70123456", "112", "call me"],
)
def test_a_number_that_is_invalid_in_the_region_is_rejected_by_every_endpoint(
    cameroon: ApiUnderTest, phone: str
) -> None:
    for response in requests_with(phone, cameroon).values():
        assert problem(response) == (422, "validation_failed")
        assert [error["code"] for error in response.json["errors"]] == ["invalid_phone"]


@pytest.mark.parametrize("password", ["6 70 12 34 56", "00237670123456", "+237-670-123-456"])
def test_the_number_in_its_local_spelling_is_no_password(cameroon: ApiUnderTest, password: str) -> None:
    response = cameroon.register(phone=LOCAL, password=password)
    assert [(error["pointer"], error["code"]) for error in response.json["errors"]] == [
        ("#/password", "is_the_address")
    ]


def test_all_spellings_of_a_number_share_its_limits(database: Database) -> None:
    with api_on(database, PHONE_DEFAULT_REGION="CM", RATE_LIMITS="on") as api:
        sign_ins = [problem(sign_in(api, phone)) for phone in SPELLINGS]
        resets = [api.client.post("/v1/password-resets", json={"phone": phone}).status_code for phone in SPELLINGS]
        registrations = [api.register(phone=phone).status_code for phone in SPELLINGS]
    assert sign_ins == [(401, "invalid_credentials")] * 5 + [(429, "too_many_requests")]
    assert resets == registrations == [202] * 5 + [429]


def test_an_unknown_number_gets_the_same_response_in_each_spelling(cameroon: ApiUnderTest) -> None:
    cameroon.activated(phone=LOCAL)
    known = cameroon.client.post("/v1/password-resets", json={"phone": LOCAL})
    unknown = cameroon.client.post("/v1/password-resets", json={"phone": NEW_LOCAL})
    assert (known.status_code, known.json.keys()) == (unknown.status_code, unknown.json.keys())
    assert (known.json["destination"], unknown.json["destination"]) == ("+23…56", "+23…22")
