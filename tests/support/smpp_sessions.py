"""The relay's sessions to a fake SMSC."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf

from outbox_relay.channels.base import Session
from outbox_relay.channels.smpp.session import SmppProvider
from outbox_relay.model import RenderedMessage, StoreReport
from shared.vocabulary import Channel
from tests.support.rendered_messages import a_message
from tests.support.sms_sessions import provider_at
from tests.support.smsc import Smsc

NOT_SMPP = b"HTTP/1.1 400 Bad Request\r\n\r\n"


def an_sms(
    text: str = "Your code is 123456", recipient: str = "+33612345678", valid_seconds: float = inf
) -> RenderedMessage:
    return a_message(recipient, text.encode(), Channel.SMS, valid_seconds)


@asynccontextmanager
async def session_to(
    smsc: Smsc,
    *,
    sender: str = "Signpost",
    query: str = "&tls=none",
    seconds: float = 10.0,
    enquire: float = 30.0,
    store_report: StoreReport | None = None,
) -> AsyncIterator[Session]:
    url = f"smpp://us:p%40ss@127.0.0.1:{smsc.port}?from={sender}{query}"
    provider = provider_at(url, seconds=seconds, store_report=store_report)
    assert isinstance(provider, SmppProvider)
    session = replace(provider, smsc=replace(provider.smsc, enquire_seconds=enquire)).session()
    try:
        yield session
    finally:
        await session.close()
