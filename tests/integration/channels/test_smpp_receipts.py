import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg
import pytest

from outbox_relay.channels.base import NoMessages, ProviderDownError, Session
from outbox_relay.channels.smpp.connection import MOST_DELIVERIES
from outbox_relay.model import Sent
from shared.reports.report import BounceCause, DeliveryReport, ReportKind, ReportSource
from tests.support.rendered_messages import ListSource
from tests.support.smpp_sessions import an_sms, session_to
from tests.support.smsc import (
    BIND_FAILED,
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    DELIVER_SM,
    GENERIC_NACK,
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    QUEUE_FULL,
    RECEIPTED_MESSAGE_ID,
    TEMPORARY,
    UNKNOWN_COMMAND,
    Smsc,
    deliver_sm,
    receipt,
)

pytestmark = pytest.mark.anyio

ON = "&tls=none&receipts=yes"
UNDELIVERABLE = b"\x05"
OK = 0


@dataclass
class Stored:
    """Reports that were stored. While ``is_away``, the database is."""

    reports: list[DeliveryReport] = field(default_factory=list)
    is_away: bool = False
    may_commit: asyncio.Event = field(default_factory=asyncio.Event)

    async def store(self, report: DeliveryReport) -> None:
        await self.may_commit.wait()
        if self.is_away:
            raise psycopg.OperationalError
        self.reports.append(report)


@pytest.fixture
def stored() -> Stored:
    found = Stored()
    found.may_commit.set()
    return found


@asynccontextmanager
async def bound(smsc: Smsc, stored: Stored, query: str = ON) -> AsyncIterator[Session]:
    async with session_to(smsc, query=query, store_report=stored.store) as session:
        await session.deliver(NoMessages())
        yield session


async def result_of(session: Session) -> Sent:
    rendered = an_sms()
    source = ListSource([rendered])
    await session.deliver(source)
    result = source.result(rendered)
    assert isinstance(result, Sent)
    return result


async def test_without_the_option_the_relay_binds_as_a_transmitter_and_asks_for_no_receipt(stored: Stored) -> None:
    async with Smsc() as smsc, bound(smsc, stored, "&tls=none") as session:
        await result_of(session)
        smsc.ask(DELIVER_SM)
        await smsc.wait_for(smsc.has_answer)
    assert smsc.roles == [BIND_TRANSMITTER]
    assert GENERIC_NACK in smsc.heard
    assert smsc.submitted[0].registered_delivery == 0


async def test_receipts_are_asked_for_and_stored_before_they_are_acknowledged(stored: Stored) -> None:
    stored.may_commit.clear()
    async with Smsc() as smsc, bound(smsc, stored) as session:
        sent = await result_of(session)
        response = smsc.send(receipt("id-1"))
        # A later submission has its response while the receipt is still being stored.
        await result_of(session)
        assert not response.done()
        stored.may_commit.set()
        assert await response == OK
    assert smsc.roles == [BIND_TRANSCEIVER]
    assert smsc.submitted[0].registered_delivery == 1
    [report] = stored.reports
    assert (report.provider, report.provider_message_id) == (sent.provider, sent.provider_message_id)
    assert (report.kind, report.source) == (ReportKind.DELIVERED, ReportSource.SMPP)
    assert "123456" not in repr(report)


async def test_while_the_database_is_away_the_smsc_keeps_its_receipts(stored: Stored) -> None:
    stored.is_away = True
    async with Smsc() as smsc, bound(smsc, stored):
        assert await smsc.deliver(receipt("id-1")) == TEMPORARY
        stored.is_away = False
        assert await smsc.deliver(receipt("id-1")) == OK
    assert len(stored.reports) == 1


@pytest.mark.parametrize(
    ("state", "cause", "is_permanent"),
    [
        ("UNDELIV", BounceCause.RECIPIENT, True),
        ("EXPIRED", BounceCause.OTHER, False),
        ("REJECTD", BounceCause.POLICY, True),
    ],
)
async def test_a_failed_message_is_a_bounce_with_the_networks_code(
    stored: Stored, state: str, cause: BounceCause, *, is_permanent: bool
) -> None:
    async with Smsc() as smsc, bound(smsc, stored):
        assert await smsc.deliver(receipt("id-1", state, "0B1")) == OK
    [report] = stored.reports
    assert (report.kind, report.cause, report.is_permanent) == (ReportKind.BOUNCED, cause, is_permanent)
    assert report.status_code == f"{state} 0B1"


async def test_optional_parameters_prevail_over_the_text(stored: Stored) -> None:
    options = {RECEIPTED_MESSAGE_ID: b"id-1\0", MESSAGE_STATE: UNDELIVERABLE}
    async with Smsc() as smsc, bound(smsc, stored):
        assert await smsc.deliver(deliver_sm(b"id:9 stat:DELIVRD", options=options)) == OK
        assert await smsc.deliver(deliver_sm(b"", options=options)) == OK
    assert {(report.provider_message_id, report.kind) for report in stored.reports} == {("id-1", ReportKind.BOUNCED)}


async def test_the_text_may_be_in_the_payload(stored: Stored) -> None:
    options = {MESSAGE_PAYLOAD: b"id:id-1 stat:UNDELIV err:001"}
    async with Smsc() as smsc, bound(smsc, stored):
        assert await smsc.deliver(deliver_sm(b"", options=options)) == OK
    assert [(report.provider_message_id, report.status_code) for report in stored.reports] == [("id-1", "UNDELIV 001")]


@pytest.mark.parametrize(
    "body",
    [
        receipt("id-1", "ENROUTE"),
        receipt("id-1", "ACCEPTD"),
        deliver_sm(b"no receipt at all"),
        deliver_sm(b"STOP", esm_class=0),
        b"",
        b"\0" * 5,
        deliver_sm(b"id:1 stat:DELIVRD")[:30],
        deliver_sm(b"", options={MESSAGE_STATE: b""}),
    ],
)
async def test_what_is_no_news_is_acknowledged_and_dropped(stored: Stored, body: bytes) -> None:
    async with Smsc() as smsc, bound(smsc, stored):
        assert await smsc.deliver(body) == OK
        assert await smsc.deliver(receipt("id-1")) == OK
    assert len(stored.reports) == 1


@pytest.mark.parametrize(
    ("query", "response_id", "receipt_id"),
    [
        (ON, "1A2B", "6699"),
        (ON, "00001a2b", "6699"),
        (ON, "1A2B", "1A2B"),
        (ON, "1234", "1234"),
        (ON, "550e8400-e29b", "550e8400-e29b"),
        ("&tls=none&receipts=decimal", "1234", "4660"),
        ("&tls=none&receipts=decimal", "001234", "0000004660"),
        ("&tls=none&receipts=decimal", "1A2B", "6699"),
    ],
)
async def test_ids_match_in_hexadecimal_and_in_decimal(
    stored: Stored, query: str, response_id: str, receipt_id: str
) -> None:
    async with Smsc(id_of=lambda _number: response_id) as smsc, bound(smsc, stored, query) as session:
        sent = await result_of(session)
        await smsc.deliver(receipt(receipt_id))
    assert stored.reports[0].provider_message_id == sent.provider_message_id


async def test_the_parameters_id_has_the_form_of_the_response(stored: Stored) -> None:
    query = "&tls=none&receipts=decimal"
    async with Smsc(id_of=lambda _number: "1234") as smsc, bound(smsc, stored, query) as session:
        sent = await result_of(session)
        options = {RECEIPTED_MESSAGE_ID: b"1234\0", MESSAGE_STATE: b"\x02"}
        await smsc.deliver(deliver_sm(b"", options=options))
    assert stored.reports[0].provider_message_id == sent.provider_message_id


@pytest.mark.parametrize("status", [UNKNOWN_COMMAND, BIND_FAILED])
async def test_without_a_transceiver_a_transmitter_and_a_receiver_are_bound(stored: Stored, status: int) -> None:
    async with Smsc(refused_roles={BIND_TRANSCEIVER: status}) as smsc, bound(smsc, stored) as session:
        await result_of(session)
        assert await smsc.deliver(receipt("id-1")) == OK
        await result_of(session)
    assert smsc.roles == [BIND_TRANSCEIVER, BIND_TRANSMITTER, BIND_RECEIVER]
    assert len(stored.reports) == 1


async def test_without_a_receiver_messages_are_still_submitted(stored: Stored) -> None:
    refused = {BIND_TRANSCEIVER: UNKNOWN_COMMAND, BIND_RECEIVER: BIND_FAILED}
    async with Smsc(refused_roles=refused) as smsc, bound(smsc, stored) as session:
        await result_of(session)
        await result_of(session)
    assert len(smsc.submitted) == 2


async def test_a_wrong_password_is_not_tried_in_other_roles(stored: Stored) -> None:
    async with Smsc(bind_reply=0x0E) as smsc:
        with pytest.raises(ProviderDownError):
            async with bound(smsc, stored):
                pass
    assert smsc.roles == [BIND_TRANSCEIVER]


async def test_too_many_receipts_at_once_are_sent_again_later(stored: Stored) -> None:
    stored.may_commit.clear()
    async with Smsc() as smsc, bound(smsc, stored):
        responses = [smsc.send(receipt(f"id-{number}")) for number in range(MOST_DELIVERIES)]
        assert await smsc.deliver(receipt("id-last")) == QUEUE_FULL
        stored.may_commit.set()
        assert set(await asyncio.gather(*responses)) == {OK}
    assert len(stored.reports) == MOST_DELIVERIES


async def test_a_receipt_may_come_over_a_later_connection(stored: Stored) -> None:
    async with Smsc() as smsc:
        async with bound(smsc, stored) as session:
            sent = await result_of(session)
        async with bound(smsc, stored):
            assert await smsc.deliver(receipt("id-1")) == OK
    assert stored.reports[0].provider_message_id == sent.provider_message_id
