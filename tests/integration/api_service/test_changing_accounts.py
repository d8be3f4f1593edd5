import pytest

from shared.secrets import code_for
from tests.support.accounts import (
    ADA,
    NEW_PASSWORD,
    NUMBER,
    Account,
    ask_for_reset,
    confirm_reset,
    is_password,
    newest_code,
    problem,
    signed_in,
    templates_sent_to,
    tokens_for,
)
from tests.support.api import PASSWORD, WRONG_CODE, ApiUnderTest
from tests.support.keys import KEY

NEW_EMAIL = "countess@example.org"


@pytest.fixture
def ada(api: ApiUnderTest) -> Account:
    user_id = api.activated(email=ADA, full_name="Ada")
    return Account(api, user_id, signed_in(api))


def test_a_password_change_needs_the_old_one_and_ends_other_sessions(api: ApiUnderTest, ada: Account) -> None:
    elsewhere = Account(api, ada.id, signed_in(api))
    response = ada.post("/v1/me/password", old_password=PASSWORD, new_password=NEW_PASSWORD)
    assert response.status_code == 204
    assert is_password(api, NEW_PASSWORD)
    assert (ada.is_signed_in(), elsewhere.is_signed_in()) == (True, False)
    assert templates_sent_to(api, ada.id)[-1] == "password_changed"


def test_a_new_password_ends_pending_reset_codes(api: ApiUnderTest, ada: Account) -> None:
    ask_for_reset(api)
    code = newest_code(api, "password_reset")
    ada.post("/v1/me/password", old_password=PASSWORD, new_password=NEW_PASSWORD)
    assert problem(confirm_reset(api, code)) == (400, "invalid_or_expired")
    [message] = [row for row in api.messages(ada.id) if row.template == "password_reset"]
    assert message.dead_reason == "superseded"


def test_a_reset_ends_all_sessions(api: ApiUnderTest, ada: Account) -> None:
    ask_for_reset(api)
    assert confirm_reset(api, newest_code(api, "password_reset")).status_code == 204
    assert not ada.is_signed_in()
    assert signed_in(api, password=NEW_PASSWORD)


def test_without_the_old_password_nothing_changes(api: ApiUnderTest, ada: Account) -> None:
    response = ada.post("/v1/me/password", old_password=NEW_PASSWORD, new_password=NEW_PASSWORD)
    assert problem(response) == (403, "wrong_password")
    assert problem(ada.post("/v1/me/email", email=NEW_EMAIL, password="wrong")) == (403, "wrong_password")
    assert is_password(api, PASSWORD)
    assert tokens_for(api, "address_change") == []


def test_a_new_password_cannot_be_an_address_of_the_account(ada: Account) -> None:
    response = ada.post("/v1/me/password", old_password=PASSWORD, new_password=ADA)
    assert response.json["errors"] == [
        {"pointer": "#/new_password", "code": "is_the_address", "message": response.json["errors"][0]["message"]}
    ]


def test_a_code_proves_a_new_address_and_the_old_one_is_notified(api: ApiUnderTest, ada: Account) -> None:
    asked = ada.post("/v1/me/email", email=NEW_EMAIL, password=PASSWORD)
    assert (asked.status_code, asked.json["destination"]) == (202, "c…@example.org")
    message = api.messages(ada.id)[0]
    assert (message.template, message.recipient, message.payload["name"]) == ("address_change", NEW_EMAIL, None)
    assert ada.post("/v1/me/email/confirm", code=newest_code(api, "address_change")).status_code == 204
    user = api.user(ada.id)
    assert (user.email, user.email_canonical) == (NEW_EMAIL, NEW_EMAIL)
    notice = api.messages(ada.id)[0]
    assert (notice.template, notice.recipient) == ("address_changed", ADA)
    assert signed_in(api, NEW_EMAIL)


def test_a_number_is_added_by_sms_and_the_mail_address_is_notified(api: ApiUnderTest, ada: Account) -> None:
    assert ada.post("/v1/me/phone", phone=NUMBER, password=PASSWORD).status_code == 202
    assert ada.post("/v1/me/phone/confirm", code=newest_code(api, "address_change")).status_code == 204
    user = api.user(ada.id)
    assert (user.phone, user.phone_verified_at is not None, user.email) == (NUMBER, True, ADA)
    notice = api.messages(ada.id)[0]
    assert (notice.template, notice.recipient) == ("address_changed", ADA)


def test_after_an_address_change_codes_sent_to_the_old_address_fail(api: ApiUnderTest, ada: Account) -> None:
    ask_for_reset(api)
    resetting = newest_code(api, "password_reset")
    ada.post("/v1/me/email", email=NEW_EMAIL, password=PASSWORD)
    ada.post("/v1/me/email/confirm", code=newest_code(api, "address_change"))
    assert confirm_reset(api, resetting).status_code == 400
    assert confirm_reset(api, resetting, email=NEW_EMAIL).status_code == 400
    assert is_password(api, PASSWORD)


def test_a_taken_address_responds_like_a_free_one_and_is_rejected_with_its_code(
    api: ApiUnderTest, ada: Account
) -> None:
    api.activated(email=NEW_EMAIL)
    taken = ada.post("/v1/me/email", email=NEW_EMAIL, password=PASSWORD)
    free = ada.post("/v1/me/phone", phone=NUMBER, password=PASSWORD)
    assert (taken.status_code, taken.json.keys()) == (free.status_code, free.json.keys())
    [token] = [token for token in tokens_for(api, "address_change") if token.channel == "email"]
    assert problem(ada.post("/v1/me/email/confirm", code=WRONG_CODE)) == (400, "invalid_or_expired")
    assert problem(ada.post("/v1/me/email/confirm", code=code_for(token.id, KEY))) == (409, "address_taken")
    assert api.user(ada.id).email == ADA
    assert "address_changed" not in templates_sent_to(api, ada.id)


def test_only_the_code_for_the_last_requested_address_works(api: ApiUnderTest, ada: Account) -> None:
    ada.post("/v1/me/email", email="typo@example.org", password=PASSWORD)
    mistaken = newest_code(api, "address_change")
    ada.post("/v1/me/email", email=NEW_EMAIL, password=PASSWORD)
    assert ada.post("/v1/me/email/confirm", code=mistaken).status_code == 400
    assert ada.post("/v1/me/email/confirm", code=newest_code(api, "address_change")).status_code == 204
    assert api.user(ada.id).email == NEW_EMAIL


def test_a_code_for_a_new_address_is_for_that_user_channel_and_purpose(api: ApiUnderTest, ada: Account) -> None:
    api.activated(email="eve@example.org")
    eve = Account(api, ada.id, signed_in(api, "eve@example.org"))
    ada.post("/v1/me/email", email=NEW_EMAIL, password=PASSWORD)
    code = newest_code(api, "address_change")
    assert problem(eve.post("/v1/me/email/confirm", code=code)) == (400, "invalid_or_expired")
    assert problem(ada.post("/v1/me/phone/confirm", code=code)) == (400, "invalid_or_expired")
    assert problem(confirm_reset(api, code, email=NEW_EMAIL)) == (400, "invalid_or_expired")
    assert problem(confirm_reset(api, code)) == (400, "invalid_or_expired")
    [token] = tokens_for(api, "address_change")
    assert (token.attempts_left, token.used_at) == (5, None)


def test_five_wrong_codes_lock_a_new_address(api: ApiUnderTest, ada: Account) -> None:
    ada.post("/v1/me/email", email=NEW_EMAIL, password=PASSWORD)
    responses = [problem(ada.post("/v1/me/email/confirm", code=WRONG_CODE)) for _ in range(6)]
    assert responses == [(400, "invalid_or_expired")] * 5 + [(429, "too_many_attempts")]
    right = ada.post("/v1/me/email/confirm", code=newest_code(api, "address_change"))
    assert problem(right) == (429, "too_many_attempts")


def test_pending_users_of_the_new_address_retire(api: ApiUnderTest, ada: Account) -> None:
    pending = api.registered(email=NEW_EMAIL)
    code = api.code(pending)
    ada.post("/v1/me/email", email=NEW_EMAIL, password=PASSWORD)
    ada.post("/v1/me/email/confirm", code=newest_code(api, "address_change"))
    assert api.user(pending).status == "retired"
    assert api.activate(pending, code).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", path) for path in ("password", "email", "phone", "email/confirm", "phone/confirm")]
    + [("GET", "export"), ("DELETE", "")],
)
def test_account_routes_need_a_signed_in_user(api: ApiUnderTest, method: str, path: str) -> None:
    response = api.client.open(f"/v1/me/{path}".rstrip("/"), method=method, json={})
    assert problem(response) == (401, "token_required")
