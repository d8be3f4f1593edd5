import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from outbox_relay.channels.base import ProviderDownError, Session
from outbox_relay.channels.smpp.session import SmppProvider
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.messages import Letter
from outbox_relay.outcomes import FailureClass, Sent
from shared.vocabulary import Channel
from tests.support.certificates import Authority
from tests.support.http_gateway import Silence
from tests.support.letters import ListTray, a_letter
from tests.support.smsc import (
    BIND_FAILED,
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    RESPONSE,
    SUBMIT_SM,
    THROTTLED,
    UNBIND,
    Says,
    Smsc,
    Submitted,
    pdu,
)

pytestmark = pytest.mark.anyio

RECIPIENT, CONTENT, TRANSIENT, PROVIDER = FailureClass
NOT_SMPP = b"HTTP/1.1 400 Bad Request\r\n\r\n"
WITH_AN_OPTION = pdu(SUBMIT_SM | RESPONSE, 0, 2, b"id-1\0" + bytes.fromhex("0423 0003 030022"))


def an_sms(text: str = "Your code is 123456", recipient: str = "+33612345678") -> Letter:
    return a_letter(recipient, text.encode(), Channel.SMS)


@asynccontextmanager
async def session_to(
    smsc: Smsc, *, sender: str = "Signpost", query: str = "&tls=none", seconds: float = 10.0, enquire: float = 30.0
) -> AsyncIterator[Session]:
    context = DeliveryContext(sender="", timeout=timedelta(seconds=seconds))
    url = f"smpp://us:p%40ss@127.0.0.1:{smsc.port}?from={sender}{query}"
    [provider] = providers_from(url, Channel.SMS, context)
    assert isinstance(provider, SmppProvider)
    session = replace(provider, smsc=replace(provider.smsc, enquire_seconds=enquire)).session()
    try:
        yield session
    finally:
        await session.close()


async def submitted_as(letter: Letter, sender: str = "Signpost") -> Submitted:
    async with Smsc() as smsc, session_to(smsc, sender=sender) as session:
        await session.carry(ListTray([letter]))
    [submitted] = smsc.submitted
    return submitted


async def test_a_message_is_one_submission_on_a_bind_that_ends_in_order() -> None:
    letter = an_sms()
    tray = ListTray([letter])
    async with Smsc() as smsc:
        async with session_to(smsc) as session:
            await session.carry(tray)
        assert smsc.is_unbound.is_set()
    assert smsc.binds == [("us", "p@ss")]
    assert smsc.submitted == [
        Submitted((5, 0, "Signpost"), (1, 1, "33612345678"), 0, b"Your code is 123456", payload=b"")
    ]
    assert tray.fate(letter) == Sent(f"smpp:127.0.0.1:{smsc.port}", "id-1")


@pytest.mark.parametrize(
    ("sender", "source"), [("+15005550006", (1, 1, "15005550006")), ("32665", (0, 1, "32665")), ("Me", (5, 0, "Me"))]
)
async def test_a_sender_is_told_as_what_it_is(sender: str, source: tuple[int, int, str]) -> None:
    assert (await submitted_as(an_sms(), sender)).source == source


@pytest.mark.parametrize(
    ("text", "data_coding", "octets"),
    [
        ("Voilà: 5 €", 0, b"Voil\x7f: 5 \x1b\x65"),
        ("Код", 8, bytes.fromhex("041a 043e 0434")),
        ("👍", 8, bytes.fromhex("d83d dc4d")),
    ],
)
async def test_a_text_goes_in_gsm_7_or_else_in_ucs_2(text: str, data_coding: int, octets: bytes) -> None:
    submitted = await submitted_as(an_sms(text))
    assert (submitted.data_coding, submitted.short_message) == (data_coding, octets)


@pytest.mark.parametrize(("text", "octets"), [("a" * 161, 161), ("ж" * 71, 142)])
async def test_a_long_text_is_submitted_whole_so_that_it_has_one_answer(text: str, octets: int) -> None:
    submitted = await submitted_as(an_sms(text))
    assert (submitted.short_message, len(submitted.payload)) == (b"", octets)


async def test_many_messages_share_one_bind() -> None:
    letters = [an_sms(f"{number}") for number in range(20)]
    tray = ListTray(letters)
    async with Smsc() as smsc, session_to(smsc) as session:
        await session.carry(tray)
    assert [submitted.short_message.decode() for submitted in smsc.submitted] == [f"{number}" for number in range(20)]
    assert all(isinstance(tray.fate(letter), Sent) for letter in letters)
    assert len(smsc.binds) == 1


@pytest.mark.parametrize(
    ("status", "kind", "is_reply"),
    [
        (0x0B, RECIPIENT, True),
        (0x01, CONTENT, True),
        (0xC1, CONTENT, True),
        (0x45, TRANSIENT, True),
        (0x64, TRANSIENT, True),
        (0x08, PROVIDER, True),
        (0x14, PROVIDER, False),
        (THROTTLED, PROVIDER, False),
        (0x0A, PROVIDER, False),
        (0x04, PROVIDER, False),
        (0x40B, PROVIDER, True),
    ],
)
async def test_a_refusal_costs_what_it_says_and_the_next_message_goes_on(
    status: int, kind: FailureClass, *, is_reply: bool
) -> None:
    refused, welcome = an_sms(), an_sms()
    tray = ListTray([refused])
    async with Smsc(says=status) as smsc, session_to(smsc) as session:
        await session.carry(tray)
        smsc.says = 0
        tray.waiting.append(welcome)
        await session.carry(tray)
    failure = tray.failure(refused)
    assert (failure.kind, failure.is_reply, failure.is_handed_over) == (kind, is_reply, False)
    assert f"0x{status:08X}" in failure.error
    assert isinstance(tray.fate(welcome), Sent)


async def test_options_that_an_answer_brings_along_change_nothing() -> None:
    letter = an_sms()
    tray = ListTray([letter])
    async with Smsc(says=WITH_AN_OPTION) as smsc, session_to(smsc) as session:
        await session.carry(tray)
    assert tray.fate(letter) == Sent(f"smpp:127.0.0.1:{smsc.port}", "id-1")


async def test_a_submission_that_the_smsc_does_not_understand_is_its_fault() -> None:
    letter = an_sms()
    tray = ListTray([letter])
    async with Smsc(says=pdu(GENERIC_NACK, 3, 2)) as smsc, session_to(smsc) as session:
        await session.carry(tray)
    assert (tray.failure(letter).kind, tray.failure(letter).is_reply) == (PROVIDER, False)


@pytest.mark.parametrize("bind_says", [BIND_FAILED, 0x0E, 0x0F, Silence.CLOSE, Silence.HANG, NOT_SMPP])
async def test_while_the_smsc_will_not_have_us_no_message_is_taken(bind_says: Says) -> None:
    tray = ListTray([an_sms()])
    seconds = 0.5 if bind_says is Silence.HANG else 10.0
    async with Smsc(bind_says=bind_says) as smsc, session_to(smsc, seconds=seconds) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.carry(tray)
    assert (caught.value.failure.kind, caught.value.failure.is_handed_over) == (PROVIDER, False)
    assert len(tray.waiting) == 1


@pytest.mark.parametrize("says", [*Silence, NOT_SMPP, b"\0" * 16])
async def test_without_an_answer_the_message_may_have_arrived(says: Says) -> None:
    letters = [an_sms(), an_sms()]
    tray = ListTray(letters)
    seconds = 0.5 if says is Silence.HANG else 10.0
    async with Smsc(says=says) as smsc, session_to(smsc, seconds=seconds) as session:
        with pytest.raises(ProviderDownError):
            await session.carry(tray)
    assert (tray.failure(letters[0]).kind, tray.failure(letters[0]).is_handed_over) == (TRANSIENT, True)
    assert list(tray.waiting) == letters[1:]


async def test_when_nobody_listens_no_message_is_taken() -> None:
    tray = ListTray([an_sms()])
    async with Smsc() as smsc:
        pass
    async with session_to(smsc) as session:
        with pytest.raises(ProviderDownError):
            await session.carry(tray)
    assert len(tray.waiting) == 1


async def test_a_number_that_would_be_cut_off_is_never_submitted() -> None:
    letter = an_sms(recipient="+" + "1" * 21)
    tray = ListTray([letter])
    async with Smsc() as smsc, session_to(smsc) as session:
        await session.carry(tray)
    assert tray.failure(letter).kind is RECIPIENT
    assert not smsc.submitted


async def test_cancelled_it_says_that_the_message_may_have_arrived_and_binds_anew() -> None:
    letter, later = an_sms(), an_sms()
    tray = ListTray([letter])
    async with Smsc(says=Silence.HANG) as smsc, session_to(smsc) as session:
        carrying = asyncio.create_task(session.carry(tray))
        await smsc.has_submission.wait()
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
        smsc.says = 0
        tray.waiting.append(later)
        await session.carry(tray)
    assert tray.failure(letter).is_handed_over
    assert isinstance(tray.fate(later), Sent)
    assert len(smsc.binds) == 2


async def test_a_bind_is_kept_alive_while_nothing_is_to_be_sent() -> None:
    async with Smsc() as smsc, session_to(smsc, enquire=0.01) as session:
        await session.carry(ListTray([an_sms()]))
        for _ in range(3):
            smsc.has_enquiry.clear()
            await smsc.has_enquiry.wait()
        await session.carry(ListTray([an_sms()]))
    assert len(smsc.binds) == 1


async def test_an_smsc_that_no_longer_answers_is_left_before_a_message_is_given_to_it() -> None:
    letter = an_sms()
    tray = ListTray([letter])
    async with Smsc(ignores_enquiries=True) as smsc, session_to(smsc, seconds=0.2, enquire=0.01) as session:
        await session.carry(ListTray([an_sms()]))
        peer = smsc.peer
        assert peer
        await peer.wait_closed()
        await session.carry(tray)
    assert isinstance(tray.fate(letter), Sent)
    assert len(smsc.binds) == 2


@pytest.mark.parametrize(
    ("asks", "answer"),
    [(ENQUIRE_LINK, ENQUIRE_LINK | RESPONSE), (UNBIND, UNBIND | RESPONSE), (DELIVER_SM, GENERIC_NACK)],
)
async def test_what_the_smsc_asks_in_between_is_answered(asks: int, answer: int) -> None:
    letter = an_sms()
    tray = ListTray([letter])
    async with Smsc() as smsc, session_to(smsc) as session:
        await session.carry(ListTray([an_sms()]))
        smsc.ask(asks)
        await smsc.has_answer.wait()
        await session.carry(tray)
    assert answer in smsc.heard
    assert isinstance(tray.fate(letter), Sent)
    assert len(smsc.binds) == (2 if asks == UNBIND else 1)


async def test_over_tls_with_an_authority_of_ones_own(authority: Authority) -> None:
    letter = an_sms()
    tray = ListTray([letter])
    async with (
        Smsc(tls=authority.server_context("IP:127.0.0.1")) as smsc,
        session_to(smsc, query=f"&ca={authority.file}") as session,
    ):
        await session.carry(tray)
    assert isinstance(tray.fate(letter), Sent)


async def test_an_smsc_whose_certificate_nobody_vouches_for_gets_neither_password_nor_message(
    authority: Authority,
) -> None:
    tray = ListTray([an_sms()])
    async with Smsc(tls=authority.server_context("IP:127.0.0.1")) as smsc, session_to(smsc, query="") as session:
        with pytest.raises(ProviderDownError):
            await session.carry(tray)
    assert not smsc.binds
    assert len(tray.waiting) == 1
