import pytest

from api_service.services import EXTENSION, Services
from api_service.use_cases.reset_password import ask_for_reset as ask_for_reset_of
from api_service.use_cases.users import Address
from shared.secrets import code_for
from shared.vocabulary import Channel, Locale
from tests.support.accounts import (
    ADA,
    NEW_PASSWORD,
    NUMBER,
    ask_for_reset,
    confirm_reset,
    is_password,
    newest_code,
    templates_sent_to,
    tokens_for,
)
from tests.support.api import PASSWORD, WRONG_CODE, ApiUnderTest
from tests.support.keys import KEY

STRANGER = "stranger@example.org"


def test_a_code_sets_a_new_password_and_the_account_is_notified(api: ApiUnderTest) -> None:
    ada = api.activated()
    assert ask_for_reset(api).status_code == 202
    response = confirm_reset(api, newest_code(api, "password_reset"))
    assert (response.status_code, response.data) == (204, b"")
    assert is_password(api, NEW_PASSWORD)
    assert templates_sent_to(api, ada) == ["activation", "welcome", "password_reset", "password_changed"]


def test_known_and_unknown_addresses_get_the_same_response_and_rows(api: ApiUnderTest) -> None:
    api.activated()
    before = api.count_rows()
    known, unknown = ask_for_reset(api), ask_for_reset(api, STRANGER)
    assert known.status_code == unknown.status_code == 202
    assert known.json.keys() == unknown.json.keys() == {"channel", "destination"}
    assert (known.json["destination"], unknown.json["destination"]) == ("a…@example.org", "s…@example.org")
    assert set(known.headers.keys()) == set(unknown.headers.keys())
    assert [after - earlier for after, earlier in zip(api.count_rows(), before, strict=True)] == [0, 2, 2]


def test_a_reset_without_an_account_locks_no_user(api: ApiUnderTest) -> None:
    services: Services = api.app.extensions[EXTENSION]
    users = [api.activated(email=f"user{number}@example.org") for number in range(3)] + [api.registered()]
    address = Address(Channel.EMAIL, "stranger@example.org")

    with services.sessions.begin() as session:
        ask_for_reset_of(session, address, Locale.EN, keys=services.keys, policy=services.reset_policy)
        for table in ("users", "tokens", "outbox_messages"):
            assert len(api.rows(f"select id from {table} for update skip locked")) >= len(users)


def test_an_unknown_address_gets_a_notice_without_a_working_code(api: ApiUnderTest) -> None:
    ask_for_reset(api, STRANGER, **{"Accept-Language": "fr-CA"})
    [message] = api.rows("select * from outbox_messages")
    assert (message.template, message.recipient, message.locale) == ("no_account", STRANGER, "fr")
    [decoy] = tokens_for(api, "decoy")
    response = confirm_reset(api, code_for(decoy.id, KEY), email=STRANGER)
    assert (response.status_code, response.json["code"]) == (400, "invalid_or_expired")


def test_a_reset_uses_the_registered_address_and_language(api: ApiUnderTest) -> None:
    ada = api.activated(email=ADA, full_name="Ada", locale="fr")
    ask_for_reset(api, "ADA@EXAMPLE.org", **{"Accept-Language": "en"})
    message = api.messages(ada)[0]
    assert (message.template, message.recipient, message.locale) == ("password_reset", ADA, "fr")
    assert confirm_reset(api, newest_code(api, "password_reset"), email="Ada@Example.ORG").status_code == 204


def test_a_registration_that_never_activated_has_no_password_to_reset(api: ApiUnderTest) -> None:
    api.registered()
    ask_for_reset(api)
    assert tokens_for(api, "password_reset") == []


def test_by_phone_the_code_lives_for_ten_minutes_and_by_mail_for_fifteen(api: ApiUnderTest) -> None:
    api.activated(email=ADA)
    api.activated(phone=NUMBER)
    ask_for_reset(api)
    assert api.client.post("/v1/password-resets", json={"phone": NUMBER}).status_code == 202
    lives = {
        token.channel: (token.expires_at - token.created_at).total_seconds()
        for token in tokens_for(api, "password_reset")
    }
    assert lives == {"email": 900, "sms": 600}
    [by_phone] = [token for token in tokens_for(api, "password_reset") if token.channel == "sms"]
    assert confirm_reset(api, code_for(by_phone.id, KEY), phone=NUMBER).status_code == 204


def test_an_unproven_address_resets_nothing(api: ApiUnderTest) -> None:
    api.activated(email=ADA, phone=NUMBER, channel="email")
    api.client.post("/v1/password-resets", json={"phone": NUMBER})
    assert tokens_for(api, "password_reset") == []


@pytest.mark.parametrize("email", [ADA, STRANGER])
def test_five_wrong_attempts_end_a_code_without_revealing_it(api: ApiUnderTest, email: str) -> None:
    api.activated()
    ask_for_reset(api, email)
    refused = [confirm_reset(api, WRONG_CODE, email=email) for _ in range(7)]
    assert {(response.status_code, response.json["code"]) for response in refused} == {(400, "invalid_or_expired")}
    [token] = api.rows("select * from tokens where address_id is not null")
    assert token.attempts_left == 0
    assert confirm_reset(api, code_for(token.id, KEY), email=email).status_code == 400
    assert is_password(api, PASSWORD)


def test_a_code_works_once(api: ApiUnderTest) -> None:
    api.activated()
    ask_for_reset(api)
    code = newest_code(api, "password_reset")
    assert confirm_reset(api, code).status_code == 204
    assert confirm_reset(api, code, PASSWORD).json["code"] == "invalid_or_expired"
    assert is_password(api, NEW_PASSWORD)


def test_an_expired_code_does_not_work(api: ApiUnderTest) -> None:
    api.activated()
    ask_for_reset(api)
    api.rows("update tokens set expires_at = now() where purpose = 'password_reset'")
    assert confirm_reset(api, newest_code(api, "password_reset")).json["code"] == "invalid_or_expired"


def test_codes_of_another_purpose_or_user_do_not_work(api: ApiUnderTest) -> None:
    ada = api.activated()
    api.activated(email="eve@example.org")
    ask_for_reset(api)
    resetting = newest_code(api, "password_reset")
    activating = code_for(next(token.id for token in api.tokens(ada) if token.purpose == "activation"), KEY)
    assert confirm_reset(api, activating).status_code == 400
    ask_for_reset(api, "eve@example.org")
    assert confirm_reset(api, resetting, email="eve@example.org").status_code == 400
    pending = api.registered(email="new@example.org")
    assert api.activate(pending, resetting).status_code == 400
    left = {token.user_id: token.attempts_left for token in tokens_for(api, "password_reset")}
    assert left[ada] == 4
    assert api.activate(ada, resetting).status_code == 400
    assert {token.user_id: token.attempts_left for token in tokens_for(api, "password_reset")} == left


def test_a_code_requested_before_the_account_existed_never_works(api: ApiUnderTest) -> None:
    ask_for_reset(api)
    [decoy] = tokens_for(api, "decoy")
    api.activated()
    assert confirm_reset(api, code_for(decoy.id, KEY)).status_code == 400
    ask_for_reset(api)
    assert confirm_reset(api, newest_code(api, "password_reset")).status_code == 204


def test_a_code_sent_to_a_former_address_does_not_work(api: ApiUnderTest) -> None:
    ada = api.activated()
    ask_for_reset(api)
    api.rows("update users set email = 'b@example.org', email_canonical = 'b@example.org' where id = %s", ada)
    assert confirm_reset(api, newest_code(api, "password_reset")).status_code == 400
    assert is_password(api, PASSWORD)


def test_each_proven_address_is_notified_of_a_new_password(api: ApiUnderTest) -> None:
    ada = api.activated(email=ADA, phone=NUMBER)
    api.rows("update users set phone_verified_at = now() where id = %s", ada)
    ask_for_reset(api)
    confirm_reset(api, newest_code(api, "password_reset"))
    reported = {message.recipient for message in api.messages(ada) if message.template == "password_changed"}
    assert reported == {ADA, NUMBER}


@pytest.mark.parametrize(
    ("password", "violation"),
    [("short", "too_short"), (ADA, "is_the_address"), ("password12345", "too_common"), (NUMBER, "is_the_address")],
)
def test_a_new_password_follows_the_rules_of_registration(api: ApiUnderTest, password: str, violation: str) -> None:
    api.activated(email=ADA, phone=NUMBER)
    ask_for_reset(api)
    response = confirm_reset(api, newest_code(api, "password_reset"), password)
    assert (response.status_code, response.json["errors"][0]["code"]) == (422, violation)
    assert response.json["errors"][0]["pointer"] == "#/new_password"
    assert is_password(api, PASSWORD)
    assert confirm_reset(api, newest_code(api, "password_reset")).status_code == 204


@pytest.mark.parametrize(
    ("body", "violation"),
    [
        ({}, "address_required"),
        ({"email": ADA, "phone": NUMBER}, "one_address_only"),
        ({"email": "nobody"}, "invalid_email"),
        ({"email": 1}, "invalid_type"),
        ({"email": ADA, "channel": "sms"}, "unknown_field"),
    ],
)
def test_a_body_without_an_address_is_rejected_and_writes_nothing(
    api: ApiUnderTest, body: dict[str, object], violation: str
) -> None:
    response = api.client.post("/v1/password-resets", json=body)
    assert (response.status_code, response.json["errors"][0]["code"]) == (422, violation)
    assert api.count_rows() == (0, 0, 0)


def test_a_registration_does_not_show_later_messages_to_the_account(api: ApiUnderTest) -> None:
    ada = api.activated()
    before = api.look_up(ada).json
    ask_for_reset(api)
    api.rows("update outbox_messages set status = 'sent', settled_at = now() where template <> 'activation'")
    assert api.look_up(ada).json == before
