"""Composition: builds the relay from its settings, without opening a connection."""

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Self
from uuid import UUID, uuid4

from outbox_relay.channels.base import CappedProvider
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.delivery.fallback import Fallbacks
from outbox_relay.delivery.message_source import Render
from outbox_relay.delivery.poison_isolation import PoisonIsolation
from outbox_relay.delivery.poller import Poller
from outbox_relay.delivery.queue_consumer import QueueConsumer
from outbox_relay.delivery.relay import Relay
from outbox_relay.delivery.reports import DeliveryReports
from outbox_relay.delivery.suppressions import Suppressions
from outbox_relay.model import ClaimedMessage, QueueKey, StoreReport
from outbox_relay.outbox.claim import ClaimStore
from outbox_relay.outbox.heartbeat import Heartbeat
from outbox_relay.outbox.reports import ReportStore
from outbox_relay.outbox.settle import PROVISIONING, SettlementStore
from outbox_relay.pauses import Pauses
from outbox_relay.providers.pool import ProviderPool
from outbox_relay.providers.state_sync import ProviderStateSync
from outbox_relay.rendering.catalog import BrokenTemplateError
from outbox_relay.rendering.dkim import Signer
from outbox_relay.rendering.renderer import Renderer
from outbox_relay.settings import BrandingSettings, RelaySettings
from shared.reports.return_paths import CallbackUrl, Gateway, callback_url
from shared.secrets import SecretKeys
from shared.settings import SettingsError
from shared.vocabulary import AnyChannel, Channel, Priority, WorkChannel

if TYPE_CHECKING:
    from outbox_relay.organizations.service import ProvisioningService

STOPPING_MARGIN = timedelta(seconds=5)
"""Extra time at the end to write the last settlements, in addition to the time for the deliveries in flight."""


@dataclass(frozen=True, kw_only=True)
class DatabaseConnections:
    """The relay's connections to the outbox, one for each kind of work that must not wait for another."""

    claiming: ReconnectingConnection
    settling: ReconnectingConnection
    falling_back: ReconnectingConnection
    polling: ReconnectingConnection
    counting: ReconnectingConnection
    reporting: ReconnectingConnection

    @classmethod
    def to(cls, url: str) -> Self:
        """Make connections to the database at ``url``."""
        return cls(
            claiming=ReconnectingConnection(url, "claim", plans_once=True),
            settling=ReconnectingConnection(url, "settle", plans_once=True),
            falling_back=ReconnectingConnection(url, "fall back"),
            polling=ReconnectingConnection(url, "look", plans_once=True),
            counting=ReconnectingConnection(url, "count", plans_once=True),
            reporting=ReconnectingConnection(url, "report", plans_once=True),
        )

    @property
    def is_lost(self) -> bool:
        """Whether the last claim or settlement could not reach the database."""
        return self.claiming.is_lost or self.settling.is_lost

    @property
    def failures(self) -> int:
        """How many tries at the database have failed."""
        return self.claiming.failures + self.settling.failures

    @property
    def lost_since(self) -> datetime | None:
        """The time when the database became unreachable, or None while it is reachable."""
        return min(filter(None, (self.claiming.lost_since, self.settling.lost_since)), default=None)

    async def close(self) -> None:
        """Close the connections."""
        for connection in (
            self.claiming,
            self.settling,
            self.falling_back,
            self.polling,
            self.counting,
            self.reporting,
        ):
            await connection.close()


@dataclass(frozen=True, kw_only=True)
class ChannelPipeline:
    """The parts that the messages of one channel pass through."""

    pool: ProviderPool
    settlements: SettlementStore
    render: Render
    batch_size: int


@dataclass(frozen=True, kw_only=True)
class RelayComponents:
    """The relay with the parts that the daemon and ``once`` use themselves."""

    relay: Relay
    providers: frozenset[str]
    claims: ClaimStore
    settlements: Sequence[SettlementStore]
    fallbacks: Fallbacks
    reports: DeliveryReports
    poller: Poller
    connections: DatabaseConnections
    provisioning: "ProvisioningService | None"

    @property
    def has_deferred(self) -> bool:
        """Whether any message was deferred, on any channel."""
        return any(settlements.has_deferred for settlements in self.settlements)

    async def warm_up(self) -> None:
        """Connect and prepare what the first messages would otherwise wait for."""
        await self.settlements[0].warm_up()

    async def close(self) -> None:
        """Close the connections."""
        await self.connections.close()
        if self.provisioning:
            await self.provisioning.close()


def assemble(settings: RelaySettings, relay_id: UUID | None = None) -> RelayComponents:
    """Build the relay; ``relay_id`` identifies the process. It stays the same after a reload.

    Raises SettingsError if a template is broken, so that a relay with a bad theme does not start.
    """
    connections = DatabaseConnections.to(settings.database_url)
    pauses, settlements = Pauses(), SettlementStore(connections.settling)
    claims = ClaimStore(connections.claiming, settings.lease, pauses)
    provisioning = provisioning_of(settings)
    newest_key = settings.secret_keys[settings.secret_keys.newest_id]
    fallbacks = Fallbacks(connections.falling_back, settings.fallback_budgets, newest_key)
    suppressions = Suppressions(connections.claiming, settings.feedback_keys)
    sync_requested, reported_keys = asyncio.Event(), set[str]()
    store_report = ReportStore(connections.reporting).store
    pipelines = pipelines_of(settings, settlements, provisioning, sync_requested, pauses, store_report=store_report)
    consumers = [
        QueueConsumer(
            QueueKey(channel, priority),
            claims=claims,
            settlements=pipeline.settlements,
            pool=pipeline.pool,
            render=pipeline.render,
            reported_keys=reported_keys,
            longest_hold=settings.longest_hold,
            batch_size=pipeline.batch_size,
            connections=connections_for(priority, pipeline.pool.connections),
            on_dead=fallbacks.request,
            pauses=pauses,
            suppressions=suppressions,
        )
        for channel, pipeline in pipelines.items()
        for priority in Priority
    ]
    pools = [pipeline.pool for pipeline in pipelines.values()]
    poison_isolation = PoisonIsolation(claims, consumers)
    state_sync = ProviderStateSync(settings.database_url, pools, sync_requested, pauses)
    heartbeat = Heartbeat(
        id=relay_id or uuid4(),
        host=socket.gethostname(),
        version=version("signpost"),
        channels=tuple(sorted(pipelines)),
        batch_size=settings.batch_size,
        connections=settings.connections,
    )
    poller = Poller(
        connections.polling,
        connections.counting,
        heartbeat=heartbeat,
        consumers=consumers,
        poison_isolation=poison_isolation,
        state_sync=state_sync,
        fallbacks=fallbacks,
        suppressions=suppressions,
        interval=settings.poll,
    )
    relay = Relay(
        consumers,
        poison_isolation=poison_isolation,
        state_sync=state_sync,
        poller=poller,
        stopping_time=min(settings.longest_hold + STOPPING_MARGIN, settings.lease),
    )
    return RelayComponents(
        relay=relay,
        providers=frozenset(state_sync.names),
        claims=claims,
        settlements=(settlements, *{pipeline.settlements for pipeline in pipelines.values()} - {settlements}),
        fallbacks=fallbacks,
        reports=DeliveryReports(connections.counting, settings.feedback_keys, fallbacks.request),
        poller=poller,
        connections=connections,
        provisioning=provisioning,
    )


def pipelines_of(
    settings: RelaySettings,
    settlements: SettlementStore,
    provisioning: "ProvisioningService | None",
    sync_requested: asyncio.Event,
    pauses: Pauses,
    *,
    store_report: StoreReport,
) -> dict[AnyChannel, ChannelPipeline]:
    """Return one pipeline for each channel that has a provider.

    The provision channel has one if this relay creates organizations' databases.
    """

    def pool_of(channel: AnyChannel, providers: Sequence[CappedProvider]) -> ProviderPool:
        return ProviderPool(
            providers, time.monotonic, settings.connections, sync_requested, channel=channel, pauses=pauses
        )

    render = rendering_of(settings)
    pipelines: dict[AnyChannel, ChannelPipeline] = {
        channel: ChannelPipeline(
            pool=pool_of(channel, providers), settlements=settlements, render=render, batch_size=settings.batch_size
        )
        for channel, providers in providers_of(settings, store_report).items()
    }
    if provisioning:
        pool = pool_of(WorkChannel.PROVISION, [provisioning.provider])
        pipelines[WorkChannel.PROVISION] = ChannelPipeline(
            pool=pool,
            # Uses a separate connection: the statement also enqueues the next message, and may wait there for a lock on
            # the founder's row.
            settlements=SettlementStore(provisioning.recording, PROVISIONING),
            render=lambda _message: b"",  # it has no recipient
            batch_size=pool.connections,  # claim no more organizations than can be worked on
        )
    return pipelines


def provisioning_of(settings: RelaySettings) -> "ProvisioningService | None":
    """Build the service that creates organizations' databases, if this relay has PROVISION_DATABASE_URL."""
    if settings.provision_database_url is None:
        return None
    from outbox_relay.organizations.service import provisioning_service  # noqa: PLC0415 - an option

    return provisioning_service(settings, settings.provision_database_url)


def connections_for(priority: Priority, connections: int) -> int:
    """Return how many delivery workers a queue has.

    A low-priority queue gets half of the connections, so that the other half stays free for high priority.
    With a single connection, both share it.
    """
    match priority:
        case Priority.HIGH:
            return connections
        case Priority.LOW:
            return max(connections // 2, 1)


def renderer_for(settings: BrandingSettings, keys: SecretKeys) -> Renderer:
    """Compile all templates. Raises SettingsError with the file of a broken template."""
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
    """Return the function that renders messages, and signs e-mails if DKIM is set up."""
    render = renderer_for(settings, settings.secret_keys).render
    return signing(render, Signer(settings.dkim)) if settings.dkim else render


def signing(render: Render, signer: Signer) -> Render:
    """Return a renderer that also signs e-mails."""

    def render_and_sign(message: ClaimedMessage) -> bytes:
        content = render(message)
        return signer.signed(content) if message.channel is Channel.EMAIL else content

    return render_and_sign


def providers_of(
    settings: RelaySettings, store_report: StoreReport | None = None
) -> dict[Channel, tuple[CappedProvider, ...]]:
    """Create the providers of each channel that has any, in order of preference.

    Without ``store_report``, they take no receipts, which then wait for a relay.
    """
    context = DeliveryContext(
        sender=settings.email_from.address,
        timeout=settings.longest_send,
        callback_url=callback_url_of(settings),
        store_report=store_report,
        bounces=settings.bounces,
    )
    urls = {Channel.EMAIL: settings.email_providers, Channel.SMS: settings.sms_providers}
    return {channel: providers_from(text, channel, context) for channel, text in urls.items() if text}


def callback_url_of(settings: RelaySettings) -> CallbackUrl | None:
    """Return what makes the URLs for receipts, or None if gateways are not to call back."""
    base, keys = settings.callback_url, settings.feedback_keys
    if base is None or keys is None:
        return None
    key = keys[keys.newest_id]

    def url(gateway: Gateway, message_id: UUID, recipient: str) -> str:
        return callback_url(base, gateway, message_id, recipient, key)

    return url
