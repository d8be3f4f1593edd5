import asyncio

import pytest

from outbox_relay.channels.base import ProviderDownError
from outbox_relay.model import FailureClass, Sent
from tests.support.certificates import Authority
from tests.support.http_gateway import Silence
from tests.support.rendered_messages import ListSource
from tests.support.smpp_sessions import NOT_SMPP, an_sms, session_to
from tests.support.smsc import (
    BIND_FAILED,
    BIND_TRANSMITTER,
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    RESPONSE,
    UNBIND,
    Reply,
    Smsc,
    pdu,
)

pytestmark = pytest.mark.anyio

WELCOME = pdu(BIND_TRANSMITTER | RESPONSE, 0, 1, b"SMSC\0")
ANSWERS_ANOTHER = pdu(ENQUIRE_LINK | RESPONSE, 0, 1)


@pytest.mark.parametrize(
    "bind_reply",
    [
        BIND_FAILED,
        0x0E,
        0x0F,
        Silence.CLOSE,
        Silence.HANG,
        NOT_SMPP,
        WELCOME + pdu(UNBIND, 0, 1),
        WELCOME + NOT_SMPP,
        ANSWERS_ANOTHER,
    ],
)
async def test_without_a_bind_no_message_is_taken(bind_reply: Reply) -> None:
    source = ListSource([an_sms()])
    seconds = 0.5 if bind_reply is Silence.HANG else 10.0
    async with Smsc(bind_reply=bind_reply) as smsc, session_to(smsc, seconds=seconds) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.deliver(source)
    assert (caught.value.failure.kind, caught.value.failure.maybe_accepted) == (FailureClass.PROVIDER, False)
    assert len(source.waiting) == 1


async def test_after_a_refused_connection_no_message_is_taken() -> None:
    source = ListSource([an_sms()])
    async with Smsc() as smsc:
        pass
    async with session_to(smsc) as session:
        with pytest.raises(ProviderDownError):
            await session.deliver(source)
    assert len(source.waiting) == 1


async def test_a_cancelled_send_reports_that_the_message_may_have_arrived_and_binds_again() -> None:
    rendered, later = an_sms(), an_sms()
    source = ListSource([rendered])
    async with Smsc(reply=Silence.HANG) as smsc, session_to(smsc) as session:
        carrying = asyncio.create_task(session.deliver(source))
        await smsc.wait_for(smsc.has_submission)
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
        smsc.reply = 0
        source.waiting.append(later)
        await session.deliver(source)
    assert source.failure(rendered).maybe_accepted
    assert isinstance(source.result(later), Sent)
    assert len(smsc.binds) == 2


async def test_an_idle_bind_is_kept_alive() -> None:
    async with Smsc() as smsc, session_to(smsc, enquire=0.01) as session:
        await session.deliver(ListSource([an_sms()]))
        for _ in range(3):
            smsc.has_enquiry.clear()
            await smsc.wait_for(smsc.has_enquiry)
        await session.deliver(ListSource([an_sms()]))
    assert len(smsc.binds) == 1


async def test_a_bind_that_stopped_responding_is_closed_before_the_next_message() -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with Smsc(ignores_enquiries=True) as smsc, session_to(smsc, seconds=2.0, enquire=0.01) as session:
        await session.deliver(ListSource([an_sms()]))
        peer = smsc.peer
        assert peer
        async with asyncio.timeout(30):
            await peer.wait_closed()
        smsc.ignores_enquiries = False
        await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)
    assert len(smsc.binds) == 2


@pytest.mark.parametrize(
    ("asks", "answer"),
    [(ENQUIRE_LINK, ENQUIRE_LINK | RESPONSE), (UNBIND, UNBIND | RESPONSE), (DELIVER_SM, GENERIC_NACK)],
)
async def test_requests_of_the_smsc_get_a_response(asks: int, answer: int) -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with Smsc() as smsc, session_to(smsc) as session:
        await session.deliver(ListSource([an_sms()]))
        smsc.ask(asks)
        await smsc.wait_for(smsc.has_answer)
        await session.deliver(source)
    assert answer in smsc.heard
    assert isinstance(source.result(rendered), Sent)
    assert len(smsc.binds) == (2 if asks == UNBIND else 1)


async def test_tls_works_with_a_private_certificate_authority(authority: Authority) -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with (
        Smsc(tls=authority.server_context("IP:127.0.0.1")) as smsc,
        session_to(smsc, query=f"&ca={authority.file}") as session,
    ):
        await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)


async def test_an_smsc_with_an_untrusted_certificate_gets_neither_password_nor_message(
    authority: Authority,
) -> None:
    source = ListSource([an_sms()])
    async with Smsc(tls=authority.server_context("IP:127.0.0.1")) as smsc, session_to(smsc, query="") as session:
        with pytest.raises(ProviderDownError):
            await session.deliver(source)
    assert not smsc.binds
    assert len(source.waiting) == 1
