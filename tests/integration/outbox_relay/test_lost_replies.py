"""A lost reply of the database: the relay finds its effects again, and counts each only once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import pytest

from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import ClaimedMessage, Dead, Failure, FailureClass, QueueKey, Sent, Settlement
from outbox_relay.outbox.claim import ClaimStore
from outbox_relay.outbox.settle import SettlementStore
from shared.vocabulary import Channel, DeadReason, Priority
from tests.support.connections import LostReplyConnection, LostTransactionConnection, SlowConnection
from tests.support.outbox import A_DAY, EXPIRED, Outbox

CODES = QueueKey(Channel.EMAIL, Priority.HIGH)
REFUSED = Dead(DeadReason.REJECTED, Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 5.1.1 no such user"))
SHORT = timedelta(milliseconds=1)
Result = TypeVar("Result")


def over(database: ReconnectingConnection, work: Callable[[], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        try:
            return await work()
        finally:
            await database.close()

    return asyncio.run(run())


@pytest.mark.parametrize("lease", [A_DAY, SHORT])
def test_a_message_leased_under_a_lost_reply_is_claimed_again_without_a_lost_lease(
    outbox: Outbox, lease: timedelta
) -> None:
    ids = outbox.put(count=3)
    database = LostReplyConnection(outbox.database.relay_url, "test")
    claimed = over(database, lambda: ClaimStore(database, lease).claim(CODES, 2))
    assert [message.id for message in claimed] == ids[:2]
    assert {message.lease_token for message in claimed} == {outbox.row(ids[0]).lease_token}
    assert outbox.execute("select lost_leases from outbox_messages order by id") == [(0,), (0,), (0,)]


def test_a_message_leased_by_a_lost_full_scan_is_claimed_by_the_next_try(outbox: Outbox) -> None:
    database = LostReplyConnection(outbox.database.relay_url, "test")

    async def claim_twice() -> list[ClaimedMessage]:
        claims = ClaimStore(database, A_DAY)
        await claims.claim(CODES, 1)
        outbox.put(due_at="now() - interval '1 hour'")
        claims.request_full_scan(CODES)
        return await claims.claim(CODES, 1)

    outbox.put()
    [message] = over(database, claim_twice)
    assert message.due_at < outbox.row(message.id).created_at


def test_a_message_not_leased_by_a_lost_claim_is_claimed_as_usual(outbox: Outbox) -> None:
    [message_id] = outbox.put()
    database = LostTransactionConnection(outbox.database.relay_url, "test")
    [message] = over(database, lambda: ClaimStore(database, A_DAY).claim(CODES, 2))
    assert (message.id, message.lost_leases) == (message_id, 0)


def test_a_claim_that_the_server_cancels_is_repeated(outbox: Outbox) -> None:
    [message_id] = outbox.put()
    # A sequence counts the tries, because its value survives the rollback. 57014 is query_canceled.
    outbox.execute(
        "create sequence tries;"
        "create function cancel_once() returns trigger language plpgsql security definer as"
        " $$ begin if nextval('public.tries') = 1 then raise 'cancelled' using errcode = '57014'; end if;"
        " return new; end $$;"
        "create trigger cancel_once before update on outbox_messages for each row execute function cancel_once()"
    )
    [message] = outbox.claim()
    assert (message.id, message.lost_leases) == (message_id, 0)
    assert outbox.number("select last_value from tries") == 2


def test_a_suspect_loses_no_lease_to_a_lost_reply(outbox: Outbox) -> None:
    [suspect, _] = outbox.put(count=2, lost_leases="2")
    database = LostReplyConnection(outbox.database.relay_url, "test")
    claimed = over(database, lambda: ClaimStore(database, SHORT).claim_suspect([Channel.EMAIL]))
    assert claimed
    assert (claimed.id, claimed.lost_leases, outbox.row(suspect).lost_leases) == (suspect, 2, 2)


def is_stale(database: ReconnectingConnection, message: ClaimedMessage) -> frozenset[UUID]:
    return over(database, lambda: SettlementStore(database).settle([Settlement(message, REFUSED)]))


def test_a_rolled_back_death_of_a_sent_message_is_not_reported(outbox: Outbox) -> None:
    [message_id] = outbox.put()
    [message] = outbox.claim(lease=EXPIRED)

    def send() -> None:
        [again] = outbox.claim()
        outbox.settle([(again, Sent("smtp:mx:25"))])

    database = LostTransactionConnection(outbox.database.relay_url, "test")
    database.between_runs = send
    assert is_stale(database, message) == {message_id}
    assert outbox.row(message_id).status == "sent"


def test_only_the_relay_that_wrote_a_death_reports_it(outbox: Outbox) -> None:
    [message_id] = outbox.put()
    [message] = outbox.claim(lease=EXPIRED)

    def write_death() -> None:
        [again] = outbox.claim()
        assert outbox.settle([(again, REFUSED)]) == 1

    database = LostTransactionConnection(outbox.database.relay_url, "test")
    database.between_runs = write_death
    assert is_stale(database, message) == {message_id}


def test_a_lease_starts_with_its_claim_not_with_its_transaction(outbox: Outbox) -> None:
    [message_id] = outbox.put()
    database = SlowConnection(outbox.database.relay_url, "test")
    over(database, lambda: ClaimStore(database, A_DAY).claim(CODES, 1))
    assert outbox.row(message_id).leased_until >= database.opened_at + A_DAY
