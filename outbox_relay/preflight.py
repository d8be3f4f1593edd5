"""Connect to the relay's databases and providers, without a message, and explain each failure."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

from migrations.revisions import REVISIONS
from outbox_relay.bootstrap import providers_of, rendering_of
from outbox_relay.channels.base import Provider, ProviderDownError
from outbox_relay.channels.http.session import HttpProvider
from outbox_relay.failures.login_hints import explained
from outbox_relay.model import Failure, RenderedMessage, Sent
from outbox_relay.rendering.preview import fresh_activation
from outbox_relay.settings import RelaySettings
from shared.db.preflight import database_problem, schema_check
from shared.vocabulary import Channel, Locale


class NoMessages:
    """A ``channels.base.MessageSource`` without messages: a session connects, logs in and returns."""

    def take(self) -> RenderedMessage | None:
        """Return None."""
        return None

    def report(self, rendered: RenderedMessage, result: Sent | Failure) -> None:
        """Never called."""


def problems(settings: RelaySettings) -> Iterator[tuple[str, str | None]]:
    """Yield the name of each database and provider, with its problem or None."""
    yield "DATABASE_URL", database_problem(settings.database_url, schema_check(REVISIONS))
    if settings.listen_database_url:
        yield "LISTEN_DATABASE_URL", database_problem(settings.listen_database_url)
    if settings.provision_database_url:
        yield "PROVISION_DATABASE_URL", database_problem(settings.provision_database_url)
    for channel, providers in providers_of(settings).items():
        for capped in providers:
            yield capped.provider.name, asyncio.run(_provider_problem(settings, channel, capped.provider))


async def _provider_problem(settings: RelaySettings, channel: Channel, provider: Provider) -> str | None:
    session = provider.session()
    try:
        if isinstance(provider, HttpProvider):
            await provider.connect(_sample(settings, channel))
            return await provider.account_problem()
        await session.deliver(NoMessages())
    except ProviderDownError as error:
        return explained(provider.name, error.failure.error)
    finally:
        await session.close()
    return None


def _sample(settings: RelaySettings, channel: Channel) -> RenderedMessage:
    sample = fresh_activation(channel, Locale.EN, settings.secret_keys.newest_id, life=timedelta(minutes=10))
    return RenderedMessage(sample, rendering_of(settings)(sample), taken_monotonic=0.0)
