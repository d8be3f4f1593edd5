"""Fallbacks, from the API's transaction to the relay's, under their own roles."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import ClaimedMessage, Dead, Deferred, Failure, FailureClass, Sent
from outbox_relay.outbox.settle import SettlementStore
from shared.secrets import code_for
from shared.vocabulary import WAKE_CHANNEL, Channel, DeadReason
from tests.support.api import ApiUnderTest, api_on, shared_api
from tests.support.databases import Database
from tests.support.fallbacks import fall_back, make_overdue
from tests.support.keys import KEY
from tests.support.outbox import EXPIRED, Outbox
from tests.support.settling import a_batcher

REFUSED = Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 5.1.1 no such user")
REJECTED = Dead(DeadReason.REJECTED, REFUSED)
SENT = Sent("smtp:mx:25", "queued-1")
BOTH = {"email": "ada@example.org", "phone": "+33612345678"}


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database, ACTIVATION_FALLBACK="both") as api:
        yield api


def settled(outbox: Outbox, outcome: Any, *, channel: Channel = Channel.EMAIL) -> ClaimedMessage:
    """Claim the only due message, settle it with that outcome, and return it."""
    [message] = outbox.claim(channel=channel)
    assert outbox.settle([(message, outcome)]) == 1
    return message


def test_a_rejected_message_falls_back_at_once_with_a_code_for_the_other_address(
    api: ApiUnderTest, outbox: Outbox
) -> None:
    registration_id = api.registered(**BOTH)
    first = settled(outbox, REJECTED)

    assert fall_back(api.database) == 1

    [second, dead] = api.messages(registration_id)
    assert (second.channel, second.recipient, second.status, second.template) == (
        "sms", "+33612345678", "pending", "activation",
    )  # fmt: skip
    assert (second.fallback_of, second.fallback_at, second.payload) == (first.id, None, first.payload)
    assert (dead.id, dead.status, dead.dead_reason) == (first.id, "dead", "rejected")
    assert second.token_id == api.tokens(registration_id)[0].id != first.token_id


def test_a_fallback_wakes_the_relay_that_serves_its_channel(api: ApiUnderTest, outbox: Outbox) -> None:
    with outbox.database.connect() as listener:
        listener.execute(f"listen {WAKE_CHANNEL}")
        api.registered(**BOTH)
        # The registration's own notification follows its response.
        assert [notice.payload for notice in listener.notifies(timeout=30, stop_after=1)] == [""]
        settled(outbox, REJECTED)
        fall_back(api.database)
        assert [notice.payload for notice in listener.notifies(timeout=30, stop_after=1)] == [""]


def test_a_fallbacks_code_proves_only_its_own_address(api: ApiUnderTest, outbox: Outbox) -> None:
    registration_id = api.registered(**BOTH)
    settled(outbox, REJECTED)
    fall_back(api.database)
    [claimed] = outbox.claim(channel=Channel.SMS)

    assert claimed.token_id is not None
    assert api.activate(registration_id, code_for(claimed.token_id, KEY)).status_code == 200

    user = api.user(registration_id)
    assert user.phone_verified_at is not None
    assert user.email_verified_at is None


def test_an_sms_can_fall_back_to_mail(api: ApiUnderTest, outbox: Outbox) -> None:
    registration_id = api.registered(**BOTH, channel="sms")
    settled(outbox, REJECTED, channel=Channel.SMS)

    assert fall_back(api.database) == 1
    assert api.messages(registration_id)[0].recipient == "ada@example.org"


def test_a_fallbacks_code_has_its_channels_lifetime_within_the_first_ones(api: ApiUnderTest, outbox: Outbox) -> None:
    by_mail = api.registered(**BOTH)
    settled(outbox, REJECTED)
    by_sms = api.registered(**BOTH, channel="sms")
    settled(outbox, REJECTED, channel=Channel.SMS)
    assert fall_back(api.database) == 2

    [(sms_life,)] = api.rows("select expires_at - created_at from tokens where user_id = %s order by 1", by_mail)[:1]
    [first, second] = sorted(api.tokens(by_sms), key=lambda token: token.created_at)
    assert sms_life == timedelta(minutes=10)
    assert second.expires_at == first.expires_at
    assert api.messages(by_sms)[0].expires_at == second.expires_at


def test_a_message_not_accepted_in_time_falls_back_and_stays_due_itself(api: ApiUnderTest, outbox: Outbox) -> None:
    registration_id = api.registered(**BOTH)
    settled(outbox, Deferred(timedelta(0)))
    assert fall_back(api.database) == 0
    make_overdue(api)

    assert fall_back(api.database) == 1

    assert [message.status for message in api.messages(registration_id)] == ["pending", "pending"]
    assert len(outbox.claim()) == len(outbox.claim(channel=Channel.SMS)) == 1


def test_a_message_falls_back_once_with_concurrent_relays(api: ApiUnderTest, outbox: Outbox) -> None:
    registrations = [api.registered(**BOTH) for _ in range(8)]
    make_overdue(api)

    assert fall_back(api.database, relays=4) == 8
    make_overdue(api)
    assert fall_back(api.database, relays=2) == 0

    assert [len(api.messages(registration)) for registration in registrations] == [2] * 8
    assert outbox.number("select count(distinct fallback_of) from outbox_messages") == 8


def test_two_settlements_of_one_death_and_a_late_sent_cause_one_fallback(api: ApiUnderTest, outbox: Outbox) -> None:
    registration_id = api.registered(**BOTH)
    [stale] = outbox.claim(lease=EXPIRED)
    [fresh] = outbox.claim()
    assert outbox.settle([(fresh, REJECTED)]) == 1
    assert outbox.settle([(stale, REJECTED)]) == 0
    assert fall_back(api.database) == 1
    assert outbox.settle([(stale, SENT)]) == 1
    assert fall_back(api.database) == 0

    assert [(message.channel, message.status) for message in api.messages(registration_id)] == [
        ("sms", "pending"),
        ("email", "sent"),
    ]


def test_a_message_sent_in_the_meantime_does_not_fall_back(api: ApiUnderTest, outbox: Outbox) -> None:
    registration_id = api.registered(**BOTH)
    [stale] = outbox.claim(lease=EXPIRED)
    settled(outbox, REJECTED)
    outbox.settle([(stale, SENT)])

    assert fall_back(api.database) == 0
    assert len(api.messages(registration_id)) == 1


@pytest.mark.parametrize("reason", [DeadReason.EXPIRED, DeadReason.POISON])
def test_a_death_unrelated_to_the_address_does_not_fall_back(
    api: ApiUnderTest, outbox: Outbox, reason: DeadReason
) -> None:
    registration_id = api.registered(**BOTH)
    settled(outbox, Dead(reason))

    assert fall_back(api.database) == 0
    [message] = api.messages(registration_id)
    assert message.fallback_at is None


def test_a_message_without_attempts_left_falls_back(api: ApiUnderTest, outbox: Outbox) -> None:
    api.registered(**BOTH)
    settled(outbox, Dead(DeadReason.EXHAUSTED, Failure(FailureClass.TRANSIENT, "smtp:mx:25", "450")))

    assert fall_back(api.database) == 1


def test_a_fallback_does_not_fall_back(api: ApiUnderTest, outbox: Outbox) -> None:
    registration_id = api.registered(**BOTH)
    settled(outbox, REJECTED)
    fall_back(api.database)
    settled(outbox, REJECTED, channel=Channel.SMS)

    assert fall_back(api.database) == 0
    assert len(api.messages(registration_id)) == 2


def test_by_default_no_message_falls_back(database: Database, outbox: Outbox) -> None:
    with api_on(database) as api:
        registration_id = api.registered(**BOTH)
        settled(outbox, REJECTED)
        make_overdue(api)

        assert fall_back(database) == 0
        assert [message.fallback_channel for message in api.messages(registration_id)] == [None]


@pytest.mark.parametrize("address", [{"email": "ada@example.org"}, {"phone": "+33612345678"}])
def test_a_user_with_one_address_has_no_fallback(api: ApiUnderTest, address: dict[str, str]) -> None:
    assert [message.fallback_at for message in api.messages(api.registered(**address))] == [None]


def test_a_fallback_does_not_reveal_that_the_first_address_is_taken(api: ApiUnderTest, outbox: Outbox) -> None:
    api.activated(email=BOTH["email"])
    outbox.claim(10)
    decoy = api.registered(**BOTH)
    settled(outbox, REJECTED)
    fall_back(api.database)

    [second, first] = api.messages(decoy)
    assert (first.template, second.template) == ("account_exists", "activation")


def test_a_second_address_that_is_taken_gets_no_code(api: ApiUnderTest, outbox: Outbox) -> None:
    api.activated(phone=BOTH["phone"])
    registration_id = api.registered(**BOTH)
    settled(outbox, REJECTED)
    fall_back(api.database)

    assert api.messages(registration_id)[0].template == "account_exists"
    assert api.activate(registration_id).status_code == 400
    assert api.user(registration_id).status == "pending"


def test_an_active_user_gets_no_fallback(api: ApiUnderTest) -> None:
    registration_id = api.activated(**BOTH)
    make_overdue(api)

    assert fall_back(api.database) == 0
    assert {message.channel for message in api.messages(registration_id)} == {"email"}


def test_only_a_death_starts_a_search_for_fallbacks_at_once(outbox: Outbox) -> None:
    async def looks_after(*outcomes: Any) -> int:
        looks: list[bool] = []
        database = ReconnectingConnection(outbox.database.relay_url, "test")
        batcher = a_batcher(SettlementStore(database), on_dead=lambda: looks.append(True))
        for message, outcome in zip(messages, outcomes, strict=True):
            batcher.put(message, outcome)
        await batcher.flush()
        await database.close()
        return len(looks)

    outbox.put(count=2)
    messages = outbox.claim(2)
    assert asyncio.run(looks_after(Deferred(timedelta(0)), SENT)) == 0
    messages = [*outbox.claim(), messages[1]]
    assert asyncio.run(looks_after(REJECTED, SENT)) == 1
