from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.support.api import WRONG_CODE, ApiUnderTest, shared_api
from tests.support.databases import Database

BOTH = {"email": "ada@example.org", "phone": "+33612345678"}


@pytest.fixture
def api_with_cooldown(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database, RESEND_COOLDOWN_SECONDS="60") as api:
        yield api


def test_a_recent_code_is_repeated_and_supersedes_the_pending_message(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    first = api.look_up(registration_id).json

    response = api.resend(registration_id)

    assert response.status_code == 202
    assert response.json == api.look_up(registration_id).json
    assert response.json["expires_at"] == first["expires_at"]
    [token], [newest, oldest] = api.tokens(registration_id), api.messages(registration_id)
    assert (newest.token_id, oldest.token_id) == (token.id, token.id)
    assert (newest.status, newest.template, newest.expires_at) == ("pending", "activation", token.expires_at)
    assert (oldest.status, oldest.dead_reason) == ("dead", "superseded")


def test_a_message_that_was_sent_stays_sent(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    settle_as_sent(api)

    api.resend(registration_id)

    assert [message.status for message in api.messages(registration_id)] == ["pending", "sent"]


@pytest.mark.parametrize(
    ("lived", "is_repeated"), [(timedelta(hours=11, minutes=59), True), (timedelta(hours=12, minutes=1), False)]
)
def test_a_code_is_repeated_during_the_first_half_of_its_lifetime(
    api: ApiUnderTest, lived: timedelta, *, is_repeated: bool
) -> None:
    registration_id = api.registered()
    first_code = api.code(registration_id)
    age(api, lived)

    api.resend(registration_id)

    assert (api.code(registration_id) == first_code) is is_repeated
    assert len(api.tokens(registration_id)) == (1 if is_repeated else 2)


def test_a_new_code_ends_the_old_one_and_its_message(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    old_link = api.link_token(registration_id)
    age(api, timedelta(hours=13))

    response = api.resend(registration_id)

    [newest, oldest] = api.messages(registration_id)
    assert (oldest.status, oldest.dead_reason) == ("dead", "superseded")
    assert newest.token_id == api.tokens(registration_id)[0].id
    assert response.json["status"] == "pending"
    assert api.activate_by_link(old_link).status_code == 400
    assert api.activate(registration_id).status_code == 200


def test_a_resend_revives_an_expired_registration(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    age(api, timedelta(hours=25))
    assert api.look_up(registration_id).json["status"] == "expired"

    assert api.resend(registration_id).json["status"] == "pending"
    assert api.activate(registration_id).status_code == 200


def test_a_repeated_code_gets_no_new_attempts(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    for _ in range(5):
        api.activate(registration_id, WRONG_CODE)

    assert api.resend(registration_id).status_code == 202
    assert api.activate(registration_id).status_code == 429


def test_alternating_between_channels_gets_no_new_attempts(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)
    for _ in range(3):
        api.activate(registration_id, WRONG_CODE)

    api.resend(registration_id, channel="sms")
    api.resend(registration_id, channel="email")

    assert [token.attempts_left for token in api.tokens(registration_id)] == [2, 5, 2]
    assert api.activate(registration_id).status_code == 200


def test_a_code_that_replaces_an_old_one_has_all_attempts(api: ApiUnderTest) -> None:
    registration_id = api.registered()
    for _ in range(5):
        api.activate(registration_id, WRONG_CODE)
    age(api, timedelta(hours=13))

    api.resend(registration_id)

    assert api.activate(registration_id).status_code == 200


def test_the_message_can_be_resent_on_another_channel_and_back(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)

    by_sms = api.resend(registration_id, channel="sms")
    assert (by_sms.json["channel"], by_sms.json["destination"]) == ("sms", "+33…78")
    assert api.messages(registration_id)[0].recipient == "+33612345678"

    age(api, timedelta(minutes=1))
    by_mail = api.resend(registration_id, channel="email")
    assert by_mail.json["channel"] == "email"
    assert api.messages(registration_id)[0].token_id == api.tokens(registration_id)[0].id
    assert api.activate(registration_id).status_code == 200
    assert api.user(registration_id).email_verified_at is not None


def test_without_a_body_the_message_uses_the_same_channel(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH, channel="sms")

    response = api.client.post(f"/v1/registrations/{registration_id}/resend")

    assert (response.status_code, response.json["channel"]) == (202, "sms")


def test_a_channel_without_an_address_is_rejected(api: ApiUnderTest) -> None:
    registration_id = api.registered(email="ada@example.org")

    response = api.resend(registration_id, channel="sms")

    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json["errors"]] == [
        ("#/channel", "channel_without_address")
    ]
    assert len(api.messages(registration_id)) == 1


def test_a_resend_during_the_cooldown_returns_retry_after(api_with_cooldown: ApiUnderTest) -> None:
    registration_id = api_with_cooldown.registered()
    assert api_with_cooldown.look_up(registration_id).json["can_resend"] is False

    response = api_with_cooldown.resend(registration_id)

    assert (response.status_code, response.json["code"]) == (429, "resend_too_soon")
    assert 55 <= int(response.headers["Retry-After"]) <= 60
    assert len(api_with_cooldown.messages(registration_id)) == 1


def test_a_resend_after_the_cooldown_works(api_with_cooldown: ApiUnderTest) -> None:
    registration_id = api_with_cooldown.registered()
    age(api_with_cooldown, timedelta(seconds=61))
    assert api_with_cooldown.look_up(registration_id).json["can_resend"] is True

    assert api_with_cooldown.resend(registration_id).status_code == 202
    assert api_with_cooldown.look_up(registration_id).json["can_resend"] is False


def test_an_active_registration_has_nothing_to_resend(api: ApiUnderTest) -> None:
    registration_id = api.activated()

    response = api.resend(registration_id)

    assert (response.status_code, response.json["code"]) == (409, "already_active")
    assert api.look_up(registration_id).json["can_resend"] is False


def test_a_retired_registration_gets_another_message_and_looks_the_same(api: ApiUnderTest) -> None:
    first, second = api.registered(), api.registered()
    before = api.resend(second).json
    api.activate(first)

    after = api.resend(second).json

    changing = {"delivery": None, "resend_after": None}
    assert after | changing == before | changing
    assert api.messages(second)[0].template == "account_exists"
    assert api.tokens(second)[0].purpose == "decoy"


def test_a_retired_registration_resent_on_another_channel_can_activate(api: ApiUnderTest) -> None:
    first, second = api.registered(), api.registered(**BOTH)
    api.activate(first)
    assert api.user(second).status == "retired"

    assert api.resend(second, channel="sms").status_code == 202

    assert api.messages(second)[0].template == "activation"
    assert api.activate(second).status_code == 200
    assert (api.user(second).phone_verified_at is None, api.user(second).email_verified_at) == (False, None)


def test_a_retired_registration_is_pending_again_once_its_address_is_free(api: ApiUnderTest) -> None:
    first, second = api.registered(), api.registered()
    api.activate(first)
    api.rows("delete from users where id = %s", first)

    api.resend(second)

    assert api.messages(second)[0].template == "activation"
    assert api.activate(second).status_code == 200


def test_a_decoy_can_activate_once_its_address_is_free_again(api: ApiUnderTest) -> None:
    holder = api.activated()
    decoy = api.registered()
    api.rows("update users set email_verified_at = null, status = 'retired' where id = %s", holder)

    api.resend(decoy)

    assert api.messages(decoy)[0].template == "activation"
    assert api.activate(decoy).status_code == 200


def age(api: ApiUnderTest, lived: timedelta) -> None:
    """Move all rows into the past."""
    api.rows("update tokens set created_at = created_at - %s, expires_at = expires_at - %s", lived, lived)
    api.rows("update outbox_messages set created_at = created_at - %s", lived)


def settle_as_sent(api: ApiUnderTest) -> None:
    api.rows("update outbox_messages set status = 'sent', settled_at = now()")
