"""A paused message is not delivered, and spends no attempt. What is not paused continues."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from outbox_relay.bootstrap import RelayComponents
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink, mail_sink
from tests.support.outbox import Outbox
from tests.support.relaying import TIMEOUT_SECONDS, relaying
from tests.support.relays import relay_once

pytestmark = pytest.mark.anyio

PAUSE = "insert into pauses (kind, name, operator, reason) values (%s, %s, 'ada', 'maintenance')"
RESUME = "delete from pauses"
WAIT_UNSPENT = (
    "select bool_and(status = 'pending' and attempt = 0 and due_at <= now())"
    "       and not exists (select from delivery_attempts) from outbox_messages where id = any(%s)"
)


def paused(kind: str, name: str) -> bool:
    return REGISTRY.get_sample_value("signpost_paused", {"kind": kind, "name": name}) == 1


def name_of(sink: MailSink) -> str:
    return f"smtp:127.0.0.1:{sink.port}"


async def until(is_so: Callable[[], bool]) -> None:
    await asyncio.to_thread(eventually, is_so, seconds=TIMEOUT_SECONDS)


async def pause(outbox: Outbox, parts: RelayComponents, kind: str, name: str) -> None:
    """Pause, notify the relay as the console does, and return once the relay knows."""
    outbox.execute(PAUSE, kind, name)
    parts.relay.wake()
    await until(lambda: paused(kind, name))


def wait_unspent(outbox: Outbox, ids: list[UUID]) -> bool:
    [(is_so,)] = outbox.execute(WAIT_UNSPENT, ids)
    return bool(is_so)


@pytest.mark.parametrize("kind", ["provider", "channel", "template"])
async def test_messages_wait_without_an_attempt_during_a_pause_and_are_delivered_after_it(
    outbox: Outbox, sink: MailSink, kind: str
) -> None:
    name = {"provider": name_of(sink), "channel": "email", "template": "activation"}[kind]
    async with relaying(outbox, sink, RELAY_BATCH_SIZE="10") as parts:
        await parts.relay.wait_until_started()
        await pause(outbox, parts, kind, name)
        ids = outbox.put(count=20)
        parts.relay.wake()
        other = outbox.put(template="'welcome'", token_id="null")
        if kind == "template":
            await until(lambda: outbox.row(other[0]).status == "sent")
        assert wait_unspent(outbox, ids)
        outbox.execute(RESUME)
        parts.relay.wake()
        await until(outbox.is_all_sent)
    assert not paused(kind, name)
    assert sink.arrived.total() == 21


@pytest.mark.parametrize("kind", ["provider", "template"])
async def test_claimed_messages_return_to_their_place_in_the_queue(outbox: Outbox, sink: MailSink, kind: str) -> None:
    sink.hold_final_replies()
    ids = outbox.put(count=20)
    async with relaying(outbox, sink, RELAY_SEND_SECONDS="20") as parts:
        await until(lambda: sink.arrived.total() == 1)
        await pause(outbox, parts, kind, name_of(sink) if kind == "provider" else "activation")
        sink.release()
        await until(lambda: outbox.number("select count(*) from outbox_messages where lease_token is not null") == 0)
        waiting = [each for each in ids if outbox.row(each).status == "pending"]
        assert len(waiting) == 20 - sink.arrived.total()
        assert len(waiting) >= 18  # with PIPELINING, a session may have taken one more
        assert wait_unspent(outbox, waiting)


async def test_the_messages_of_a_paused_provider_go_to_the_next_one(outbox: Outbox, sink: MailSink) -> None:
    outbox.execute(PAUSE, "provider", name_of(sink))
    outbox.put(count=20)
    with mail_sink() as second:
        async with relaying(outbox, sink, EMAIL_PROVIDERS=f"{sink.provider},{second.provider}"):
            await until(outbox.is_all_sent)
        assert (sink.arrived.total(), second.arrived.total()) == (0, 20)


async def test_a_pause_ends_at_its_time(outbox: Outbox, sink: MailSink) -> None:
    async with relaying(outbox, sink) as parts:
        await pause(outbox, parts, "channel", "email")
        outbox.put()
        outbox.execute("update pauses set until = now()")
        await until(outbox.is_all_sent)


def test_the_first_claim_reads_the_pauses_itself(outbox: Outbox) -> None:
    outbox.execute(PAUSE, "template", "activation")
    outbox.put()
    outbox.put(lost_leases="2")
    assert (outbox.claim(), outbox.claim_suspect()) == ([], None)
    outbox.execute(RESUME)
    assert outbox.claim()
    assert outbox.claim_suspect()


def test_a_drain_delivers_nothing_that_is_paused_and_reports_it(outbox: Outbox, sink: MailSink) -> None:
    outbox.execute(PAUSE, "provider", name_of(sink))
    ids = outbox.put(count=3)
    assert relay_once(outbox.database, EMAIL_PROVIDERS=sink.provider) == 1
    assert wait_unspent(outbox, ids)
    outbox.execute(RESUME)
    assert relay_once(outbox.database, EMAIL_PROVIDERS=sink.provider) == 0
    assert outbox.is_all_sent()
