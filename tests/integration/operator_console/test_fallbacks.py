import json
from typing import Any

import pytest

from shared.ids import uuid7
from tests.support.accounts import ADA, NUMBER, ask_for_reset, confirm_reset, newest_code
from tests.support.api import ApiUnderTest, shared_api
from tests.support.databases import Database
from tests.support.fallbacks import fall_back
from tests.support.operators import outboxctl
from tests.support.outbox import Outbox

OTHER_NUMBER = "+447400654321"
NEWEST_RESET = "select * from outbox_messages where template = 'password_reset' order by created_at desc limit 1"
EXPIRE = """
update tokens set created_at = created_at - interval '1 hour', expires_at = expires_at - interval '1 hour'
 where purpose = 'password_reset'
"""
DIE = """
update outbox_messages set status = 'dead', dead_reason = 'rejected', settled_at = now(), fallback_at = now()
 where template = 'password_reset' and channel = %s
"""


def test_show_links_a_message_and_its_fallback(outbox: Outbox) -> None:
    user_id = f"'{uuid7()}'"
    falls_back = {"fallback_channel": "'sms'", "fallback_lifetime": "'600 s'", "fallback_at": "now()"}
    [first] = outbox.put(user_id=user_id, **falls_back)
    before = json.loads(outboxctl(outbox.database, "show", str(first), "--json").stdout)
    [second] = outbox.put(user_id=user_id, channel="sms", recipient="'+33612345678'", fallback_of=f"'{first}'")
    results = [outboxctl(outbox.database, "show", str(one), "--json") for one in (first, second)]
    shown, other = (json.loads(result.stdout) for result in results)
    assert (before["fallback_channel"], before["fell_back_to"]) == ("sms", None)
    assert before["fallback_at"] is not None
    assert (shown["fell_back_to"], shown["fallback_of"]) == (str(second), None)
    assert (other["fell_back_to"], other["fallback_of"]) == (None, str(first))


def test_a_requeued_message_has_no_fallback(outbox: Outbox) -> None:
    falls_back = {"fallback_channel": "'sms'", "fallback_lifetime": "'600 s'", "fallback_at": "now()"}
    [message_id] = outbox.put(status="'dead'", dead_reason="'rejected'", settled_at="now()", **falls_back)
    assert outboxctl(outbox.database, "requeue", str(message_id), "--reason", "mailbox exists now").exit_code == 0
    assert outbox.row(message_id).fallback_at is None


def reset_that_fell_back(api: ApiUnderTest) -> Any:
    """Let the reset of an account with two proven addresses fall back to SMS; reject the SMS, and return it."""
    api.activated(email=ADA, phone=NUMBER, channel="email")
    api.rows("update users set phone_verified_at = now()")
    ask_for_reset(api)
    api.rows(DIE, "email")
    assert fall_back(api.database) == 1
    api.rows(DIE.replace(", fallback_at = now()", ""), "sms")
    [message] = api.rows(NEWEST_RESET)
    assert (message.recipient, message.dead_reason) == (NUMBER, "rejected")
    return message


def test_a_requeued_fallback_of_a_reset_gets_a_new_code_after_the_first_expired(database: Database) -> None:
    with shared_api(database, ACTIVATION_FALLBACK="sms") as api:
        message = reset_that_fell_back(api)
        api.rows(EXPIRE)

        done = outboxctl(database, "requeue", str(message.id), "--reason", "phone is on now")

        assert done.exit_code == 0, done.output
        [requeued] = api.rows(NEWEST_RESET)
        assert (requeued.status, requeued.recipient) == ("pending", NUMBER)
        assert requeued.token_id != message.token_id
        assert confirm_reset(api, newest_code(api, "password_reset")).status_code == 204


@pytest.mark.parametrize("changed", [f"phone = '{OTHER_NUMBER}'", "phone_verified_at = null", "phone = null"])
def test_the_fallback_of_a_reset_is_not_requeued_to_an_address_that_is_no_longer_proven(
    database: Database, changed: str
) -> None:
    with shared_api(database, ACTIVATION_FALLBACK="sms") as api:
        message = reset_that_fell_back(api)
        api.rows(EXPIRE)
        api.rows(f"update users set {changed}")
        ask_for_reset(api)

        done = outboxctl(database, "requeue", str(message.id), "--reason", "phone is on now")

        assert done.exit_code == 1
        assert api.rows("select status from outbox_messages where id = %s", message.id) == [("dead",)]
