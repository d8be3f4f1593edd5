"""Where the relay is put together: settings in, parts out. Nothing is connected yet."""

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Self
from uuid import UUID, uuid4

from outbox_relay.channels.base import CappedProvider
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.delivery.fallback import Fallbacks
from outbox_relay.delivery.message_source import MessagePreparer, Render
from outbox_relay.delivery.poison_isolation import PoisonIsolation
from outbox_relay.delivery.poller import Concerned, Eyes, Poller
from outbox_relay.delivery.queue_consumer import ConsumerLimits, Outbox, QueueConsumer
from outbox_relay.delivery.relay import Beside, Relay
from outbox_relay.maintenance.heartbeat import Heartbeat
from outbox_relay.model import ClaimedMessage, QueueKey
from outbox_relay.organizations.service import ProvisioningService, provisioning_service_of, render_nothing
from outbox_relay.outbox.claim import ClaimStore
from outbox_relay.outbox.settle import SettlementStore
from outbox_relay.outbox.settle_sql import PROVISIONING
from outbox_relay.outbox.settled_notifier import SettledNotifier
from outbox_relay.providers.pool import ProviderPool
from outbox_relay.providers.state_sync import ProviderStateSync
from outbox_relay.rendering import BrokenTemplateError, Renderer, Signer
from outbox_relay.settings import BrandingSettings, RelaySettings
from shared.secrets import SecretKeys
from shared.settings import SettingsError
from shared.vocabulary import AnyChannel, Channel, Urgency, WorkChannel

STOPPING_MARGIN = timedelta(seconds=5)
"""For the last settles, on top of the letters in hand."""


@dataclass(frozen=True, kw_only=True)
class DatabaseConnections:
    """The relay's connections to the outbox, one for each thing that must not wait for another."""

    claiming: ReconnectingConnection
    settling: ReconnectingConnection
    falling_back: ReconnectingConnection
    looking: ReconnectingConnection
    counting: ReconnectingConnection

    @classmethod
    def to(cls, url: str) -> Self:
        """Make them, to the database at ``url``."""
        return cls(
            claiming=ReconnectingConnection(url, "claim", plans_once=True),
            settling=ReconnectingConnection(url, "settle", plans_once=True),
            falling_back=ReconnectingConnection(url, "fall back"),
            looking=ReconnectingConnection(url, "look", plans_once=True),
            counting=ReconnectingConnection(url, "count", plans_once=True),
        )

    @property
    def failures(self) -> int:
        """How many tries at the database have failed."""
        return self.claiming.failures + self.settling.failures

    @property
    def lost_since(self) -> datetime | None:
        """Since when the database has been away, if it is."""
        return min(filter(None, (self.claiming.lost_since, self.settling.lost_since)), default=None)

    async def close(self) -> None:
        """Close the connections."""
        await self.claiming.close()
        await self.settling.close()
        await self.falling_back.close()
        await self.looking.close()
        await self.counting.close()


@dataclass(frozen=True, kw_only=True)
class RelayComponents:
    """The relay and what it works through."""

    relay: Relay
    providers: frozenset[str]
    outbox: Outbox
    all_settles: tuple[SettlementStore, ...]
    fallbacks: Fallbacks
    lookout: Poller
    lifelines: DatabaseConnections
    teller: SettledNotifier
    provisioning: ProvisioningService | None

    @property
    def has_deferred(self) -> bool:
        """Whether anything was put off, on any channel."""
        return any(settles.has_deferred for settles in self.all_settles)

    async def warm_up(self) -> None:
        """Have ready what the first messages would else have to wait for once they have been sent."""
        await self.outbox.settles.warm_up()
        await self.teller.warm_up()

    async def close(self) -> None:
        """Close the connections."""
        await self.lifelines.close()
        await self.teller.close()
        if self.provisioning:
            await self.provisioning.close()


@dataclass(frozen=True)
class ChannelPipeline:
    """What the messages of one channel go through; a channel may bring parts of its own."""

    ladder: ProviderPool
    outbox: Outbox
    preparation: MessagePreparer
    batch_size: int


def assemble(settings: RelaySettings, relay_id: UUID | None = None) -> RelayComponents:
    """Put the relay together; ``relay_id`` is its process's, where that outlives it.

    Raises SettingsError if a template is broken, so that a bad theme does not start.
    """
    lifelines, teller = DatabaseConnections.to(settings.database_url), SettledNotifier(settings.database_url)
    newest_key = settings.secret_keys[settings.secret_keys.newest_id]
    fallbacks = Fallbacks(lifelines.falling_back, settings.fallback_budgets, newest_key)
    claims = ClaimStore(lifelines.claiming, settings.lease)
    outbox = Outbox(claims, SettlementStore(lifelines.settling), teller, fallbacks.soon)
    provisioning = provisioning_service_of(settings)
    ways = ways_to_people(settings, outbox) | ways_to(provisioning, settings, outbox)
    lanes = [lane_of(QueueKey(channel, urgency), way) for channel, way in ways.items() for urgency in Urgency]
    ladders = [way.ladder for way in ways.values()]
    quarantine, fleet = PoisonIsolation(outbox.claims, lanes), ProviderStateSync(settings.database_url, ladders)
    presence = presence_of(settings, ways, relay_id or uuid4())
    concerned = Concerned(lanes, quarantine, fleet, fallbacks)
    lookout = Poller(Eyes(lifelines.looking, lifelines.counting), presence, concerned, settings.poll)
    stopping_time = min(settings.longest_in_hand + STOPPING_MARGIN, settings.lease)
    return RelayComponents(
        relay=Relay(lanes, Beside(quarantine, fleet, lookout), stopping_time),
        providers=frozenset(rung.provider.name for ladder in ladders for rung in ladder.rungs),
        outbox=outbox,
        all_settles=tuple({way.outbox.settles for way in ways.values()}),
        fallbacks=fallbacks,
        lookout=lookout,
        lifelines=lifelines,
        teller=teller,
        provisioning=provisioning,
    )


def ways_to_people(settings: RelaySettings, outbox: Outbox) -> dict[AnyChannel, ChannelPipeline]:
    """Return the way of each channel that has a provider."""
    preparation = MessagePreparer(rendering_of(settings), settings.longest_in_hand)
    ladders = {
        channel: ProviderPool(providers, time.monotonic, settings.connections)
        for channel, providers in providers_of(settings).items()
    }
    return {
        channel: ChannelPipeline(ladder, outbox, preparation, settings.batch_size)
        for channel, ladder in ladders.items()
    }


def ways_to(
    provisioning: ProvisioningService | None, settings: RelaySettings, outbox: Outbox
) -> dict[AnyChannel, ChannelPipeline]:
    """Return the way of organizations, if they are made here: no more of them are claimed than can be worked on."""
    if provisioning is None:
        return {}
    ladder = ProviderPool([provisioning.provider], time.monotonic, settings.connections)
    # Not over the connection of the others: what follows may have to wait for its founder's row.
    outbox = replace(outbox, settles=SettlementStore(provisioning.recording, PROVISIONING))
    preparation = MessagePreparer(render_nothing, settings.longest_in_hand)
    return {WorkChannel.PROVISION: ChannelPipeline(ladder, outbox, preparation, ladder.connections)}


def lane_of(key: QueueKey, way: ChannelPipeline) -> QueueConsumer:
    """Make a lane for one urgency of the way's messages."""
    limits = _limits(way.batch_size, way.ladder.connections, key.urgency)
    return QueueConsumer(key, way.outbox, way.ladder, way.preparation, limits)


def presence_of(settings: RelaySettings, channels: Iterable[AnyChannel], relay_id: UUID) -> Heartbeat:
    """Return what operators are shown of this relay."""
    served = tuple(sorted(channels))
    return Heartbeat(
        relay_id, socket.gethostname(), version("signpost"), served, settings.batch_size, settings.connections
    )


def _limits(batch_size: int, connections: int, urgency: Urgency) -> ConsumerLimits:
    match urgency:
        case Urgency.CODE:
            return ConsumerLimits(batch_size, connections)
        case Urgency.NOTICE:
            return ConsumerLimits(batch_size, max(connections // 2, 1))  # the other half is for codes to come


def renderer_for(settings: BrandingSettings, keys: SecretKeys) -> Renderer:
    """Prepare all templates. Raises SettingsError for one that is broken, naming its file."""
    try:
        return Renderer(
            keys,
            settings.public_url,
            settings.sender,
            one_tap_domain=settings.one_tap_domain,
            branding=settings.branding,
        )
    except BrokenTemplateError as error:
        raise SettingsError([f"template {error}"]) from error


def rendering_of(settings: RelaySettings) -> Render:
    """Prepare what puts messages into words, and signs those that are e-mails if that is wanted."""
    render = renderer_for(settings, settings.secret_keys).render
    return signing(render, Signer(settings.dkim)) if settings.dkim else render


def signing(render: Render, signer: Signer) -> Render:
    """Sign what is rendered as an e-mail."""

    def render_and_sign(message: ClaimedMessage) -> bytes:
        content = render(message)
        return signer.signed(content) if message.channel is Channel.EMAIL else content

    return render_and_sign


def providers_of(settings: RelaySettings) -> dict[Channel, tuple[CappedProvider, ...]]:
    """Make the providers of each channel that has any, in the order in which they are tried."""
    context = DeliveryContext(sender=settings.email_from.address, timeout=settings.longest_send)
    urls = {Channel.EMAIL: settings.email_providers, Channel.SMS: settings.sms_providers}
    return {channel: providers_from(text, channel, context) for channel, text in urls.items() if text}
