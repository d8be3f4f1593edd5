"""The relay's sessions to a fake SMS gateway, created from a URL as in production."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from outbox_relay.channels.base import Provider, Session
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.model import Failure, RenderedMessage, Sent
from shared.vocabulary import Channel
from tests.support.rendered_messages import ListSource


def provider_at(url: str, *, seconds: float = 10.0) -> Provider:
    [capped] = providers_from(url, Channel.SMS, DeliveryContext(sender="", timeout=timedelta(seconds=seconds)))
    return capped.provider


@asynccontextmanager
async def session_at(url: str, *, seconds: float = 10.0) -> AsyncIterator[Session]:
    session = provider_at(url, seconds=seconds).session()
    try:
        yield session
    finally:
        await session.close()


async def result_through(url: str, rendered: RenderedMessage) -> Sent | Failure:
    """Submit one message, and return its delivery result."""
    source = ListSource([rendered])
    async with session_at(url) as session:
        await session.deliver(source)
    return source.result(rendered)
