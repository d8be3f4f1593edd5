"""The relay's sessions to a fake SMS gateway, created from a URL as in production."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from outbox_relay.channels.base import Provider, Session
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.model import Failure, RenderedMessage, Sent, StoreReport
from shared.reports.return_paths import CallbackUrl
from shared.vocabulary import Channel
from tests.support.rendered_messages import ListSource


def provider_at(
    url: str,
    *,
    seconds: float = 10.0,
    callback_url: CallbackUrl | None = None,
    store_report: StoreReport | None = None,
) -> Provider:
    context = DeliveryContext("", timedelta(seconds=seconds), callback_url, store_report)
    [capped] = providers_from(url, Channel.SMS, context)
    return capped.provider


@asynccontextmanager
async def session_at(
    url: str, *, seconds: float = 10.0, callback_url: CallbackUrl | None = None
) -> AsyncIterator[Session]:
    session = provider_at(url, seconds=seconds, callback_url=callback_url).session()
    try:
        yield session
    finally:
        await session.close()


async def result_through(
    url: str, rendered: RenderedMessage, callback_url: CallbackUrl | None = None
) -> Sent | Failure:
    """Submit one message, and return its delivery result."""
    source = ListSource([rendered])
    async with session_at(url, callback_url=callback_url) as session:
        await session.deliver(source)
    return source.result(rendered)
