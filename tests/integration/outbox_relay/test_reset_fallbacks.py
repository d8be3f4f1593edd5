"""Fallbacks of password resets, from the API's transaction to the relay's, under their own roles."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from outbox_relay.model import Dead, Failure, FailureClass, Sent
from shared.secrets import code_for
from shared.vocabulary import Channel, DeadReason
from tests.support.accounts import (
    ADA,
    NUMBER,
    Account,
    ask_for_reset,
    confirm_reset,
    is_password,
    newest_code,
    problem,
    signed_in,
    tokens_for,
)
from tests.support.api import PASSWORD, WRONG_CODE, ApiUnderTest, api_on, shared_api
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.fallbacks import AMPLE, budgets_of, fall_back, make_overdue
from tests.support.keys import KEY
from tests.support.outbox import Outbox

REJECTED = Dead(DeadReason.REJECTED, Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 5.1.1 no such user"))
SENT = Sent("smtp:mx:25", "queued-1")
STRANGER = "stranger@example.org"
NEW_NUMBER = "+447400654321"
HELD_UP = """
select pid from pg_stat_activity
 where datname = current_database() and usename = 'relay' and wait_event_type = 'Lock'
"""


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database, ACTIVATION_FALLBACK="both") as api:
        yield api


def with_both_proven(api: ApiUnderTest, outbox: Outbox) -> UUID:
    """Activate an account, prove its phone over HTTP, and deliver all messages so far."""
    user_id = api.activated(email=ADA)
    account = Account(api, user_id, signed_in(api))
    assert account.post("/v1/me/phone", phone=NUMBER, password=PASSWORD).status_code == 202
    assert account.post("/v1/me/phone/confirm", code=newest_code(api, "address_change")).status_code == 204
    deliver_all(outbox)
    return user_id


def deliver_all(outbox: Outbox) -> None:
    for channel in Channel:
        outbox.settle([(message, SENT) for message in outbox.claim(100, channel=channel)])


def reject(outbox: Outbox, channel: Channel = Channel.EMAIL) -> None:
    """Settle the channel's only due message as rejected."""
    [message] = outbox.claim(channel=channel)
    assert outbox.settle([(message, REJECTED)]) == 1


def resets(api: ApiUnderTest) -> list[Any]:
    """Return the messages with a reset's code, oldest first."""
    return api.rows("select * from outbox_messages where template = 'password_reset' order by created_at, id")


def test_a_rejected_reset_falls_back_to_the_proven_phone_and_sets_the_password(
    api: ApiUnderTest, outbox: Outbox
) -> None:
    user_id = with_both_proven(api, outbox)
    assert ask_for_reset(api).status_code == 202
    reject(outbox)

    assert fall_back(api.database) == 1

    [first, second] = resets(api)
    assert (first.dead_reason, second.fallback_of, second.fallback_at) == ("rejected", first.id, None)
    assert (second.channel, second.recipient, second.status) == ("sms", NUMBER, "pending")
    assert (second.user_id, second.payload, second.locale) == (user_id, first.payload, first.locale)
    [claimed] = outbox.claim(channel=Channel.SMS)
    assert claimed.token_id is not None
    assert outbox.settle([(claimed, SENT)]) == 1
    assert confirm_reset(api, code_for(claimed.token_id, KEY), email=ADA).status_code == 204
    assert not is_password(api, PASSWORD)
    notified = api.rows("select recipient from outbox_messages where template = 'password_changed'")
    assert {row.recipient for row in notified} == {ADA, NUMBER}


def test_a_reset_by_sms_falls_back_to_the_proven_mail(api: ApiUnderTest, outbox: Outbox) -> None:
    with_both_proven(api, outbox)
    api.client.post("/v1/password-resets", json={"phone": NUMBER})
    reject(outbox, Channel.SMS)

    assert fall_back(api.database, budgets_of(total=0, per_prefix=0, per_number=0)) == 1

    assert [(message.channel, message.recipient) for message in resets(api)] == [("sms", NUMBER), ("email", ADA)]
    assert confirm_reset(api, newest_code(api, "password_reset"), phone=NUMBER).status_code == 204


def test_a_reset_not_accepted_in_time_sends_the_same_code_over_both_channels(api: ApiUnderTest, outbox: Outbox) -> None:
    with_both_proven(api, outbox)
    ask_for_reset(api)
    assert fall_back(api.database) == 0
    make_overdue(api)

    assert fall_back(api.database) == 1

    [by_mail], [by_sms] = outbox.claim(), outbox.claim(channel=Channel.SMS)
    assert by_mail.token_id == by_sms.token_id
    assert (by_mail.template, by_sms.template) == ("password_reset", "password_reset")


def test_a_reset_falls_back_once_with_concurrent_relays(api: ApiUnderTest, outbox: Outbox) -> None:
    with_both_proven(api, outbox)
    ask_for_reset(api)
    make_overdue(api)

    assert fall_back(api.database, relays=4) == 1
    make_overdue(api)
    assert fall_back(api.database, relays=2) == 0
    assert len(resets(api)) == 2


def test_a_reset_rejected_on_both_channels_ends_there(api: ApiUnderTest, outbox: Outbox) -> None:
    with_both_proven(api, outbox)
    ask_for_reset(api)
    reject(outbox)
    assert fall_back(api.database) == 1
    reject(outbox, Channel.SMS)

    assert fall_back(api.database) == 0

    assert [message.dead_reason for message in resets(api)] == ["rejected", "rejected"]
    assert problem(confirm_reset(api, WRONG_CODE)) == (400, "invalid_or_expired")


def test_an_address_that_was_never_proven_gets_no_reset(api: ApiUnderTest, outbox: Outbox) -> None:
    user_id = api.activated(email=ADA, phone=NUMBER, channel="email")
    deliver_all(outbox)
    assert api.user(user_id).phone_verified_at is None
    ask_for_reset(api)
    reject(outbox)

    assert fall_back(api.database) == 0
    assert len(resets(api)) == 1


def test_another_users_proof_of_the_number_does_not_count(api: ApiUnderTest, outbox: Outbox) -> None:
    api.activated(email=ADA, phone=NUMBER, channel="email")
    api.activated(phone=NUMBER)
    deliver_all(outbox)
    ask_for_reset(api)
    reject(outbox)
    assert fall_back(api.database) == 0


def test_a_code_for_a_new_address_never_falls_back(api: ApiUnderTest, outbox: Outbox) -> None:
    user_id = with_both_proven(api, outbox)
    Account(api, user_id, signed_in(api)).post("/v1/me/email", email="new@example.org", password=PASSWORD)
    reject(outbox)
    assert outbox.number("select count(*) from outbox_messages where template = 'address_change'") == 2
    make_overdue(api)
    assert fall_back(api.database) == 0


@pytest.mark.parametrize(("kind", "address"), [("phone", NEW_NUMBER), ("email", "new@example.org")])
def test_after_a_change_of_either_address_no_reset_falls_back(
    api: ApiUnderTest, outbox: Outbox, kind: str, address: str
) -> None:
    user_id = with_both_proven(api, outbox)
    account = Account(api, user_id, signed_in(api))
    account.post(f"/v1/me/{kind}", password=PASSWORD, **{kind: address})
    deliver_all(outbox)
    ask_for_reset(api)
    reject(outbox)
    assert account.post(f"/v1/me/{kind}/confirm", code=newest_code(api, "address_change")).status_code == 204

    assert fall_back(api.database) == 0
    assert len(resets(api)) == 1


def test_a_change_of_address_ends_a_fallback_that_waits(api: ApiUnderTest, outbox: Outbox) -> None:
    user_id = with_both_proven(api, outbox)
    account = Account(api, user_id, signed_in(api))
    account.post("/v1/me/phone", phone=NEW_NUMBER, password=PASSWORD)
    deliver_all(outbox)
    ask_for_reset(api)
    reject(outbox)
    assert fall_back(api.database) == 1
    account.post("/v1/me/phone/confirm", code=newest_code(api, "address_change"))

    [_first, second] = resets(api)
    assert (second.recipient, second.dead_reason) == (NUMBER, "superseded")
    assert problem(confirm_reset(api, newest_code(api, "password_reset"))) == (400, "invalid_or_expired")
    assert is_password(api, PASSWORD)


@pytest.mark.parametrize("ended", ["used_at = now()", "expires_at = now()", "attempts_left = 0"])
def test_a_code_that_no_longer_works_does_not_fall_back(api: ApiUnderTest, outbox: Outbox, ended: str) -> None:
    with_both_proven(api, outbox)
    ask_for_reset(api)
    reject(outbox)
    api.rows(f"update tokens set {ended} where purpose = 'password_reset'")
    assert fall_back(api.database) == 0


def test_erasure_ends_the_fallback(api: ApiUnderTest, outbox: Outbox) -> None:
    user_id = with_both_proven(api, outbox)
    account = Account(api, user_id, signed_in(api))
    ask_for_reset(api)
    reject(outbox)
    assert account.erase(password=PASSWORD).status_code == 202
    assert fall_back(api.database) == 0


def test_only_the_newest_request_falls_back(api: ApiUnderTest, outbox: Outbox) -> None:
    with_both_proven(api, outbox)
    ask_for_reset(api)
    reject(outbox)
    ask_for_reset(api)
    assert fall_back(api.database) == 0
    reject(outbox)
    assert fall_back(api.database) == 1
    assert [message.channel for message in resets(api)] == ["email", "email", "sms"]


def test_a_later_notice_does_not_stop_the_fallback(api: ApiUnderTest, outbox: Outbox) -> None:
    user_id = with_both_proven(api, outbox)
    ask_for_reset(api)
    reject(outbox)
    outbox.put(user_id=f"'{user_id}'", template="'welcome'", token_id="null")
    assert fall_back(api.database) == 1


def test_a_new_request_closes_a_fallback_that_waits_and_repeats_the_code(api: ApiUnderTest, outbox: Outbox) -> None:
    with_both_proven(api, outbox)
    ask_for_reset(api)
    reject(outbox)
    fall_back(api.database)
    ask_for_reset(api)

    assert [message.dead_reason for message in resets(api)] == ["rejected", "superseded", None]
    [token] = tokens_for(api, "password_reset")
    assert {message.token_id for message in resets(api)} == {token.id}


def test_two_channels_allow_no_additional_guesses(api: ApiUnderTest, outbox: Outbox) -> None:
    with_both_proven(api, outbox)
    ask_for_reset(api)
    for _ in range(3):
        confirm_reset(api, WRONG_CODE)
    reject(outbox)
    assert fall_back(api.database) == 1
    for _ in range(2):
        confirm_reset(api, WRONG_CODE)
    assert problem(confirm_reset(api, newest_code(api, "password_reset"))) == (400, "invalid_or_expired")


def test_a_reset_costs_the_budgets_of_its_number(api: ApiUnderTest, outbox: Outbox) -> None:
    with_both_proven(api, outbox)
    one_each = budgets_of(total=9, per_prefix=9, per_number=1)
    for expected in (1, 0):
        ask_for_reset(api)
        reject(outbox)
        assert fall_back(api.database, one_each) == expected
        deliver_all(outbox)
    assert fall_back(api.database, AMPLE) == 0
    assert outbox.execute("select spent from fallback_budgets where scope = 'total'") == [(1,)]


def test_a_relay_that_dies_before_the_commit_leaves_the_fallback_to_the_next(api: ApiUnderTest, outbox: Outbox) -> None:
    with_both_proven(api, outbox)
    ask_for_reset(api)
    reject(outbox)
    with ThreadPoolExecutor() as pool, api.database.connect() as owner, api.database.connect() as other:
        other.execute("begin")
        other.execute("lock table fallback_budgets in exclusive mode")
        looking = pool.submit(fall_back, api.database)
        [(held_up,)] = eventually(lambda: owner.execute(HELD_UP).fetchall())
        owner.execute("select pg_terminate_backend(%s, 10000)", [held_up])
        assert len(resets(api)) == 1
        other.execute("rollback")
        assert looking.result(timeout=30) == 1
    assert len(resets(api)) == 2
    assert outbox.execute("select spent from fallback_budgets where scope = 'total'") == [(1,)]


def test_a_fallback_waits_for_a_change_in_progress_instead_of_deadlocking(api: ApiUnderTest, outbox: Outbox) -> None:
    user_id = with_both_proven(api, outbox)
    ask_for_reset(api)
    make_overdue(api)
    with api.database.connect() as changing:
        changing.execute("begin")
        changing.execute("select from users where id = %s for no key update", [user_id])
        assert fall_back(api.database) == 0
        changing.execute("rollback")
    assert fall_back(api.database) == 1


def test_with_one_address_with_two_and_without_an_account_the_same_is_written(
    api: ApiUnderTest, outbox: Outbox
) -> None:
    with_both_proven(api, outbox)
    api.activated(email="one@example.org")
    deliver_all(outbox)
    emails = [ADA, "one@example.org", STRANGER]
    responses = [ask_for_reset(api, email) for email in emails]
    assert {response.status_code for response in responses} == {202}
    assert len({tuple(sorted(response.json)) for response in responses}) == 1
    written = api.rows(
        "select distinct fallback_channel, fallback_lifetime, fallback_at - message.created_at as after,"
        " message.expires_at - message.created_at as life, attempts_left"
        " from outbox_messages as message join tokens on tokens.id = token_id"
        " where address_id is not null and used_at is null"
    )
    assert [tuple(row) for row in written] == [
        ("sms", timedelta(minutes=10), timedelta(minutes=2), timedelta(minutes=10), 5)
    ]

    outbox.settle([(message, REJECTED) for message in outbox.claim(3)])
    before = outbox.execute("select id, attempts_left, expires_at from tokens order by id")
    assert fall_back(api.database) == 1

    # Confirmations depend on tokens only, and a fallback changes no token.
    assert outbox.execute("select id, attempts_left, expires_at from tokens order by id") == before
    assert {problem(confirm_reset(api, WRONG_CODE, email=email)) for email in emails} == {(400, "invalid_or_expired")}


@pytest.mark.parametrize(
    ("fallback", "by_mail", "by_sms"), [("none", 15, 10), ("sms", 10, 10), ("email", 15, 10), ("both", 10, 10)]
)
def test_a_reset_code_that_may_go_by_sms_lives_no_longer_than_an_sms_code(
    database: Database, fallback: str, by_mail: int, by_sms: int
) -> None:
    with api_on(database, ACTIVATION_FALLBACK=fallback) as api:
        ask_for_reset(api, STRANGER)
        api.client.post("/v1/password-resets", json={"phone": NUMBER})
        lives = api.rows("select channel, expires_at - created_at as life from tokens")
    assert {row.channel: row.life for row in lives} == {
        "email": timedelta(minutes=by_mail),
        "sms": timedelta(minutes=by_sms),
    }


def test_without_the_setting_no_reset_falls_back(database: Database, outbox: Outbox) -> None:
    with api_on(database) as api:
        with_both_proven(api, outbox)
        ask_for_reset(api)
        reject(outbox)
        assert fall_back(api.database) == 0
