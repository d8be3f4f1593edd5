"""A second reset request while the first code is valid."""

from datetime import timedelta

import pytest

from shared.secrets import code_for
from tests.support.accounts import ADA, ask_for_reset, confirm_reset, newest_code, tokens_for
from tests.support.api import WRONG_CODE, ApiUnderTest
from tests.support.keys import KEY

STRANGER = "stranger@example.org"
FIVE_MINUTES_LATER = (
    "update tokens set created_at = created_at - age, expires_at = expires_at - age"
    " from cast('5 minutes' as interval) as age"
)


def test_a_second_request_repeats_the_code_with_its_remaining_attempts(api: ApiUnderTest) -> None:
    ada = api.activated()
    ask_for_reset(api)
    code = newest_code(api, "password_reset")
    confirm_reset(api, WRONG_CODE)
    ask_for_reset(api)
    [token] = tokens_for(api, "password_reset")
    assert (newest_code(api, "password_reset"), token.attempts_left) == (code, 4)
    fates = [
        (message.status, message.dead_reason) for message in api.messages(ada) if message.template == "password_reset"
    ]
    assert fates == [("pending", None), ("dead", "superseded")]


@pytest.mark.parametrize("email", [ADA, STRANGER])
def test_a_code_without_attempts_left_is_not_sent_again(api: ApiUnderTest, email: str) -> None:
    api.activated()
    ask_for_reset(api, email)
    for _ in range(5):
        confirm_reset(api, WRONG_CODE, email=email)
    ask_for_reset(api, email)
    fresh, dead = api.rows("select * from tokens where address_id is not null order by created_at desc")
    assert (fresh.attempts_left, dead.attempts_left) == (5, 0)
    assert confirm_reset(api, code_for(fresh.id, KEY), email=email).status_code == (204 if email == ADA else 400)


def test_a_repeated_code_keeps_its_expiry(api: ApiUnderTest) -> None:
    ada = api.activated()
    ask_for_reset(api)
    code = newest_code(api, "password_reset")
    api.rows(FIVE_MINUTES_LATER)
    ask_for_reset(api)
    [token] = tokens_for(api, "password_reset")
    message = next(message for message in api.messages(ada) if message.template == "password_reset")
    assert token.expires_at - token.created_at == timedelta(minutes=15)
    assert message.expires_at == token.expires_at
    assert newest_code(api, "password_reset") == code


def test_the_response_does_not_reveal_an_earlier_code(api: ApiUnderTest) -> None:
    api.activated()
    responses = [ask_for_reset(api)]
    api.rows(FIVE_MINUTES_LATER)
    responses.append(ask_for_reset(api))
    assert confirm_reset(api, newest_code(api, "password_reset")).status_code == 204
    responses.append(ask_for_reset(api))
    assert len(tokens_for(api, "password_reset")) == 2
    assert [response.json for response in responses] == [{"channel": "email", "destination": "a…@example.org"}] * 3


def test_a_code_past_half_its_lifetime_is_replaced(api: ApiUnderTest) -> None:
    api.activated()
    ask_for_reset(api)
    old = newest_code(api, "password_reset")
    api.rows(
        "update tokens set created_at = created_at - age, expires_at = expires_at - age"
        " from cast('8 minutes' as interval) as age"
    )
    ask_for_reset(api)
    assert len(tokens_for(api, "password_reset")) == 2
    assert confirm_reset(api, old).status_code == 400
    assert confirm_reset(api, newest_code(api, "password_reset")).status_code == 204


def test_for_an_unknown_address_too_only_the_newest_message_is_pending(api: ApiUnderTest) -> None:
    ask_for_reset(api, STRANGER)
    ask_for_reset(api, STRANGER)
    rows = api.rows("select status, dead_reason from outbox_messages order by created_at")
    assert [(row.status, row.dead_reason) for row in rows] == [("dead", "superseded"), ("pending", None)]
