"""The whole relay with mail servers that misbehave: no message is lost, and no message dies wrongly."""

import re
from collections import Counter
from functools import partial
from itertools import cycle
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.certificates import make_authority
from tests.support.outbox import Outbox
from tests.support.relaying import relaying, until, until_all_are_settled
from tests.support.smtp_pipelining_faults import FaultyConversation, PipeliningFault
from tests.support.smtp_server import End, Moment, Script, SmtpServer

pytestmark = pytest.mark.anyio

MESSAGE_ID = re.compile(rb"^Message-ID: <([^>@]+)@", re.MULTILINE)
CLOSING = b"421 4.3.2 shutting down"
PIPELINING, LOCK_STEP = ("PIPELINING",), ("8BITMIME",)


@pytest.fixture(params=[PIPELINING, LOCK_STEP], ids=["pipelining", "lock-step"])
def offers(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return request.param


async def all_relayed(outbox: Outbox, server: SmtpServer, *, count: int = 6) -> list[UUID]:
    """Deliver messages until no message is pending, and check that the server has each one."""
    ids = outbox.put(count=count)
    async with relaying(outbox, server) as parts:
        await until_all_are_settled(outbox, parts)
    assert outbox.number("select count(*) from outbox_messages where status = 'sent'") == count
    assert accepted(server).keys() == set(map(str, ids))
    assert not server.faults
    return ids


def accepted(server: SmtpServer) -> Counter[str]:
    return Counter(message_id(content) for _, content in server.messages)


def submitted(server: SmtpServer) -> Counter[str]:
    return Counter(message_id(content) for content in server.submitted if content)


def message_id(content: bytes) -> str:
    found = MESSAGE_ID.search(content)
    assert found
    return found[1].decode()


def attempts(outbox: Outbox) -> list[int]:
    return [attempt for (attempt,) in outbox.execute("select attempt from outbox_messages order by id")]


@pytest.mark.parametrize("lapse", [End.HANG, End.CLOSE, b"hello there"], ids=["hangs", "closes", "garbage"])
async def test_after_a_break_behind_the_final_dot_the_same_message_id_is_sent_again(
    outbox: Outbox, offers: tuple[str, ...], lapse: bytes | End
) -> None:
    async with SmtpServer(Script(offers, {Moment.FINAL_DOT: iter([None, lapse])})) as server:
        ids = await all_relayed(outbox, server)
    assert accepted(server).total() == len(ids)
    assert sorted(submitted(server).values()) == [1, 1, 1, 1, 1, 2]
    assert sorted(attempts(outbox)) == [1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("moment", [Moment.CONNECT, Moment.RCPT, Moment.DATA])
async def test_garbage_before_the_final_dot_costs_no_attempt(outbox: Outbox, moment: Moment) -> None:
    async with SmtpServer(Script(instead={moment: iter([b"\x00\xff hello"])})) as server:
        ids = await all_relayed(outbox, server)
    assert submitted(server).total() == len(ids)
    assert set(attempts(outbox)) == {1}


async def test_a_server_that_replies_250_and_closes_gets_each_message_once(
    outbox: Outbox, offers: tuple[str, ...]
) -> None:
    async with SmtpServer(Script(offers, {Moment.ACCEPTED: End.CLOSE})) as server:
        ids = await all_relayed(outbox, server, count=3)
    assert submitted(server).total() == accepted(server).total() == len(ids)
    assert set(attempts(outbox)) == {1}


@pytest.mark.parametrize("moment", [Moment.MAIL, Moment.FINAL_DOT])
async def test_a_server_that_closes_on_each_third_message_gets_each_once(outbox: Outbox, moment: Moment) -> None:
    async with SmtpServer(Script(instead={moment: cycle([None, None, CLOSING])})) as server:
        ids = await all_relayed(outbox, server)
    assert accepted(server).total() == len(ids)
    assert set(attempts(outbox)) == {1}


@pytest.mark.parametrize("fault", PipeliningFault)
async def test_a_server_with_broken_pipelining_gets_one_command_at_a_time(
    outbox: Outbox, fault: PipeliningFault
) -> None:
    async with SmtpServer(Script(PIPELINING), partial(FaultyConversation, fault=fault)) as server:
        ids = await all_relayed(outbox, server)
    assert submitted(server).total() == accepted(server).total() == len(ids)
    assert set(attempts(outbox)) == {1}
    assert server.connections == 2


async def test_a_reply_250_before_the_content_does_not_count(outbox: Outbox, offers: tuple[str, ...]) -> None:
    hasty = {Moment.DATA: iter([b"354 go ahead\r\n250 2.0.0 queued as 1"]), Moment.FINAL_DOT: iter([End.CLOSE])}
    async with SmtpServer(Script(offers, dict(hasty))) as server:
        await all_relayed(outbox, server, count=2)


async def test_a_greylisted_message_waits_for_the_requested_time(outbox: Outbox, offers: tuple[str, ...]) -> None:
    script = Script(offers, {Moment.RCPT: iter([b"451 4.7.1 Greylisted, try again in 5 minutes"])})
    outbox.put()
    async with SmtpServer(script) as server, relaying(outbox, server) as parts:
        await until(outbox, parts, "select 1 from outbox_messages where attempt = 1 and lease_token is null")
        [(wait, status)] = outbox.execute(
            "select extract(epoch from message.due_at - ended_at)::float8, status"
            " from outbox_messages as message, delivery_attempts"
        )
        assert status == "pending"
        assert wait == pytest.approx(300, abs=1)
        assert not server.submitted
        await until_all_are_settled(outbox, parts)
    assert accepted(server).total() == 1
    assert attempts(outbox) == [2]


async def test_replies_of_many_lines_and_of_two_thousand_octets_are_accepted(outbox: Outbox) -> None:
    long = b"250-" + b"x" * 1994 + b"\r\n"
    talkative = {
        Moment.CONNECT: b"220-test\r\n" * 50 + b"220 at last",
        Moment.MAIL: long * 20 + b"250 2.1.0 Ok",
        Moment.RCPT: long + b"250 2.1.5 Ok",
        Moment.FINAL_DOT: long * 3 + b"250 2.0.0 Ok: queued as 1",
    }
    async with SmtpServer(Script(instead=dict(talkative))) as server:
        ids = await all_relayed(outbox, server)
    assert submitted(server).total() == len(ids)
    assert server.connections == 1


async def test_a_server_with_a_wrong_certificate_gets_no_message_and_kills_none(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    script = Script(("PIPELINING", "STARTTLS"), tls=authority.server_context("DNS:mail.example.org"))
    outbox.put(count=3)
    async with SmtpServer(script) as server, relaying(outbox, server, tls="starttls") as parts:
        await until(outbox, parts, "select 1 from outbox_messages where last_error ~ 'certificate not trusted'")
        assert {line.split()[0] for line in bytes(server.in_clear).splitlines()} == {b"EHLO", b"STARTTLS"}
        assert outbox.number("select count(*) from outbox_messages where status = 'pending' and attempt = 0") == 3
        script.tls = authority.server_context("IP:127.0.0.1")
        await until_all_are_settled(outbox, parts)
    assert {line.split()[0] for line in bytes(server.in_clear).splitlines()} == {b"EHLO", b"STARTTLS"}
    assert accepted(server).total() == 3
    assert set(attempts(outbox)) == {1}


async def test_a_server_without_the_required_encryption_gets_nothing(outbox: Outbox) -> None:
    outbox.put()
    async with SmtpServer(Script(PIPELINING)) as server, relaying(outbox, server, tls="starttls") as parts:
        await until(outbox, parts, "select 1 from outbox_messages where last_error ~ 'does not offer STARTTLS'")
    assert {line.split()[0] for line in bytes(server.in_clear).splitlines()} <= {b"EHLO", b"QUIT"}
    assert outbox.number("select count(*) from outbox_messages where status = 'pending' and attempt = 0") == 1
