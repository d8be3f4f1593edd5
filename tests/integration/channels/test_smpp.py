from math import inf

import pytest

from outbox_relay.channels.base import ProviderDownError
from outbox_relay.model import FailureClass, RenderedMessage, Sent
from tests.support.http_gateway import Silence
from tests.support.rendered_messages import ListSource
from tests.support.smpp_sessions import NOT_SMPP, an_sms, session_to
from tests.support.smsc import (
    BIND_TRANSMITTER,
    ENQUIRE_LINK,
    GENERIC_NACK,
    RESPONSE,
    SUBMIT_SM,
    THROTTLED,
    Reply,
    Smsc,
    Submitted,
    pdu,
)

pytestmark = pytest.mark.anyio

RECIPIENT, CONTENT, TRANSIENT, PROVIDER = FailureClass
WITH_AN_OPTION = pdu(SUBMIT_SM | RESPONSE, 0, 2, b"id-1\0" + bytes.fromhex("0423 0003 030022"))


async def submitted_as(rendered: RenderedMessage, sender: str = "Signpost") -> Submitted:
    async with Smsc() as smsc, session_to(smsc, sender=sender) as session:
        await session.deliver(ListSource([rendered]))
    [submitted] = smsc.submitted
    return submitted


async def test_a_message_is_one_submission_on_a_bind_that_ends_cleanly() -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with Smsc() as smsc:
        async with session_to(smsc) as session:
            await session.deliver(source)
        assert smsc.is_unbound.is_set()
    assert smsc.binds == [("us", "p@ss")]
    assert smsc.submitted == [
        Submitted((5, 0, "Signpost"), (1, 1, "33612345678"), 0, b"Your code is 123456", payload=b"")
    ]
    assert source.result(rendered) == Sent(f"smpp:127.0.0.1:{smsc.port}", "id-1")


@pytest.mark.parametrize(
    ("sender", "source"), [("+15005550006", (1, 1, "15005550006")), ("32665", (0, 1, "32665")), ("Me", (5, 0, "Me"))]
)
async def test_a_sender_has_its_type_of_number(sender: str, source: tuple[int, int, str]) -> None:
    assert (await submitted_as(an_sms(), sender)).source == source


@pytest.mark.parametrize(
    ("text", "data_coding", "octets"),
    [
        ("Voilà: 5 €", 0, b"Voil\x7f: 5 \x1b\x65"),
        ("Код", 8, bytes.fromhex("041a 043e 0434")),
        ("👍", 8, bytes.fromhex("d83d dc4d")),
    ],
)
async def test_a_text_is_sent_in_gsm_7_or_ucs_2(text: str, data_coding: int, octets: bytes) -> None:
    submitted = await submitted_as(an_sms(text))
    assert (submitted.data_coding, submitted.short_message) == (data_coding, octets)


@pytest.mark.parametrize(
    ("valid_seconds", "period"),
    [
        (inf, ""),
        (0.4, "000000000001000R"),
        (599.9, "000000000959000R"),
        (86_400 + 2 * 3600 + 3 * 60 + 4, "000001020304000R"),
        (1e9, "000030000000000R"),
    ],
)
async def test_a_submission_is_valid_until_its_code_expires(valid_seconds: float, period: str) -> None:
    assert (await submitted_as(an_sms(valid_seconds=valid_seconds))).validity_period == period


@pytest.mark.parametrize("command", [GENERIC_NACK, ENQUIRE_LINK | RESPONSE, BIND_TRANSMITTER | RESPONSE])
async def test_a_response_to_another_request_is_ignored(command: int) -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with Smsc(reply=pdu(command, 0, 2, b"id-1\0")) as smsc, session_to(smsc) as session:
        await session.deliver(source)
    assert (source.failure(rendered).kind, source.failure(rendered).maybe_accepted) == (TRANSIENT, True)


@pytest.mark.parametrize(("text", "octets"), [("a" * 161, 161), ("ж" * 71, 142)])
async def test_a_long_text_is_one_submission_with_one_response(text: str, octets: int) -> None:
    submitted = await submitted_as(an_sms(text))
    assert (submitted.short_message, len(submitted.payload)) == (b"", octets)


async def test_many_messages_share_one_bind() -> None:
    messages = [an_sms(f"{number}") for number in range(20)]
    source = ListSource(messages)
    async with Smsc() as smsc, session_to(smsc) as session:
        await session.deliver(source)
    assert [submitted.short_message.decode() for submitted in smsc.submitted] == [f"{number}" for number in range(20)]
    assert all(isinstance(source.result(rendered), Sent) for rendered in messages)
    assert len(smsc.binds) == 1


@pytest.mark.parametrize(
    ("status", "kind", "is_about_message"),
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
        (0x62, PROVIDER, False),
        (0x40B, PROVIDER, True),
    ],
)
async def test_a_rejection_has_its_failure_class_and_the_next_message_is_sent(
    status: int, kind: FailureClass, *, is_about_message: bool
) -> None:
    refused, welcome = an_sms(), an_sms()
    source = ListSource([refused])
    async with Smsc(reply=status) as smsc, session_to(smsc) as session:
        await session.deliver(source)
        smsc.reply = 0
        source.waiting.append(welcome)
        await session.deliver(source)
    failure = source.failure(refused)
    assert (failure.kind, failure.is_about_message, failure.maybe_accepted) == (kind, is_about_message, False)
    assert f"0x{status:08X}" in failure.error
    assert isinstance(source.result(welcome), Sent)


async def test_optional_parameters_in_a_response_change_nothing() -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with Smsc(reply=WITH_AN_OPTION) as smsc, session_to(smsc) as session:
        await session.deliver(source)
    assert source.result(rendered) == Sent(f"smpp:127.0.0.1:{smsc.port}", "id-1")


async def test_a_generic_nack_is_a_provider_failure() -> None:
    rendered = an_sms()
    source = ListSource([rendered])
    async with Smsc(reply=pdu(GENERIC_NACK, 3, 2)) as smsc, session_to(smsc) as session:
        await session.deliver(source)
    assert (source.failure(rendered).kind, source.failure(rendered).is_about_message) == (PROVIDER, False)


@pytest.mark.parametrize("reply", [*Silence, NOT_SMPP, b"\0" * 16])
async def test_without_a_response_the_message_may_have_arrived(reply: Reply) -> None:
    messages = [an_sms(), an_sms()]
    source = ListSource(messages)
    seconds = 0.5 if reply is Silence.HANG else 10.0
    async with Smsc(reply=reply) as smsc, session_to(smsc, seconds=seconds) as session:
        with pytest.raises(ProviderDownError):
            await session.deliver(source)
    assert (source.failure(messages[0]).kind, source.failure(messages[0]).maybe_accepted) == (TRANSIENT, True)
    assert list(source.waiting) == messages[1:]


async def test_a_stored_premium_number_is_submitted_to_the_smsc() -> None:
    rendered = an_sms(recipient="+19005550100")
    source = ListSource([rendered])
    async with Smsc() as smsc, session_to(smsc) as session:
        await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)


@pytest.mark.parametrize("recipient", ["+" + "1" * 21, "+33é12", "", "+", "ada"])
async def test_an_invalid_or_too_long_number_is_never_submitted(recipient: str) -> None:
    rendered = an_sms(recipient=recipient)
    source = ListSource([rendered])
    async with Smsc() as smsc, session_to(smsc) as session:
        await session.deliver(source)
    assert source.failure(rendered).kind is RECIPIENT
    assert not smsc.submitted
