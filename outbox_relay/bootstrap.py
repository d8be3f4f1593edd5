"""Where the relay is put together: settings in, parts out. Nothing is connected yet."""

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Self
from uuid import UUID, uuid4

from outbox_relay.ahead import Render
from outbox_relay.channels.base import CappedProvider
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.claims import Claims
from outbox_relay.database import Lifeline
from outbox_relay.fallbacks import Fallbacks
from outbox_relay.fleet import Fleet
from outbox_relay.ladder import Ladder
from outbox_relay.lane import Lane, LaneLimits, Outbox
from outbox_relay.lookout import Concerned, Eyes, Lookout
from outbox_relay.messages import ClaimedMessage, LaneKey
from outbox_relay.organizations.service import ProvisioningService, provisioning_service_of, render_nothing
from outbox_relay.organizations.settlement import ProvisionSettles
from outbox_relay.presence import Presence
from outbox_relay.quarantine import Quarantine
from outbox_relay.relay import Beside, Relay
from outbox_relay.rendering import BrokenTemplateError, Renderer, Signer
from outbox_relay.settings import LookSettings, RelaySettings
from outbox_relay.settles import Settles
from outbox_relay.telling import Teller, ToldSettles
from outbox_relay.tray import Preparation
from shared.secrets import SecretKeys
from shared.settings import SettingsError
from shared.vocabulary import AnyChannel, Channel, Urgency, WorkChannel

STOPPING_MARGIN = timedelta(seconds=5)
"""For the last settles, on top of the letters in hand."""


@dataclass(frozen=True, kw_only=True)
class Lifelines:
    """The relay's connections to the outbox, one for each thing that must not wait for another."""

    claiming: Lifeline
    settling: Lifeline
    falling_back: Lifeline
    looking: Lifeline
    counting: Lifeline

    @classmethod
    def to(cls, url: str) -> Self:
        """Make them, to the database at ``url``."""
        return cls(
            claiming=Lifeline(url, "claim", plans_once=True),
            settling=Lifeline(url, "settle", plans_once=True),
            falling_back=Lifeline(url, "fall back"),
            looking=Lifeline(url, "look", plans_once=True),
            counting=Lifeline(url, "count", plans_once=True),
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
class Parts:
    """The relay and what it works through."""

    relay: Relay
    providers: frozenset[str]
    outbox: Outbox
    all_settles: tuple[Settles, ...]
    fallbacks: Fallbacks
    lookout: Lookout
    lifelines: Lifelines
    teller: Teller
    provisioning: ProvisioningService | None

    @property
    def has_deferred(self) -> bool:
        """Whether anything was put off, on any channel."""
        return any(settles.has_deferred for settles in self.all_settles)

    async def get_ready(self) -> None:
        """Have ready what the first messages would else have to wait for once they have been sent."""
        await self.outbox.settles.get_ready()
        await self.teller.get_ready()

    async def close(self) -> None:
        """Close the connections."""
        await self.lifelines.close()
        await self.teller.close()
        if self.provisioning:
            await self.provisioning.close()


@dataclass(frozen=True)
class Way:
    """What the messages of one channel go through; a channel may bring parts of its own."""

    ladder: Ladder
    outbox: Outbox
    preparation: Preparation
    batch_size: int


def assemble(settings: RelaySettings, relay_id: UUID | None = None) -> Parts:
    """Put the relay together; ``relay_id`` is its process's, where that outlives it.

    Raises SettingsError if a template is broken, so that a bad theme does not start.
    """
    lifelines, teller = Lifelines.to(settings.database_url), Teller(settings.database_url)
    outbox = Outbox(Claims(lifelines.claiming, settings.lease), ToldSettles(lifelines.settling, teller))
    provisioning = provisioning_service_of(settings)
    ways = ways_to_people(settings, outbox) | ways_to(provisioning, settings, outbox.claims, teller)
    lanes = [lane_of(LaneKey(channel, urgency), way) for channel, way in ways.items() for urgency in Urgency]
    ladders = [way.ladder for way in ways.values()]
    newest_key = settings.secret_keys[settings.secret_keys.newest_id]
    fallbacks = Fallbacks(lifelines.falling_back, settings.fallback_budgets, newest_key)
    outbox.settles.on_death = fallbacks.soon
    quarantine, fleet = Quarantine(outbox.claims, lanes), Fleet(settings.database_url, ladders)
    presence = presence_of(settings, ways, relay_id or uuid4())
    concerned = Concerned(lanes, quarantine, fleet, fallbacks)
    lookout = Lookout(Eyes(lifelines.looking, lifelines.counting), presence, concerned, settings.poll)
    stopping_time = min(settings.longest_in_hand + STOPPING_MARGIN, settings.lease)
    return Parts(
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


def ways_to_people(settings: RelaySettings, outbox: Outbox) -> dict[AnyChannel, Way]:
    """Return the way of each channel that has a provider."""
    preparation = Preparation(rendering_of(settings), settings.longest_in_hand)
    ladders = {
        channel: Ladder(providers, time.monotonic, settings.connections)
        for channel, providers in providers_of(settings).items()
    }
    return {channel: Way(ladder, outbox, preparation, settings.batch_size) for channel, ladder in ladders.items()}


def ways_to(
    provisioning: ProvisioningService | None, settings: RelaySettings, claims: Claims, teller: Teller
) -> dict[AnyChannel, Way]:
    """Return the way of organizations, if they are made here: no more of them are claimed than can be worked on."""
    if provisioning is None:
        return {}
    ladder = Ladder([provisioning.provider], time.monotonic, settings.connections)
    # Not over the connection of the others: what follows may have to wait for its founder's row.
    outbox = Outbox(claims, ProvisionSettles(provisioning.recording, teller))
    preparation = Preparation(render_nothing, settings.longest_in_hand)
    return {WorkChannel.PROVISION: Way(ladder, outbox, preparation, ladder.connections)}


def lane_of(key: LaneKey, way: Way) -> Lane:
    """Make a lane for one urgency of the way's messages."""
    limits = _limits(way.batch_size, way.ladder.connections, key.urgency)
    return Lane(key, way.outbox, way.ladder, way.preparation, limits)


def presence_of(settings: RelaySettings, channels: Iterable[AnyChannel], relay_id: UUID) -> Presence:
    """Return what operators are shown of this relay."""
    served = tuple(sorted(channels))
    return Presence(
        relay_id, socket.gethostname(), version("signpost"), served, settings.batch_size, settings.connections
    )


def _limits(batch_size: int, connections: int, urgency: Urgency) -> LaneLimits:
    match urgency:
        case Urgency.CODE:
            return LaneLimits(batch_size, connections)
        case Urgency.NOTICE:
            return LaneLimits(batch_size, max(connections // 2, 1))  # the other half is for codes to come


def renderer_for(settings: LookSettings, keys: SecretKeys) -> Renderer:
    """Prepare all templates. Raises SettingsError for one that is broken, naming its file."""
    try:
        return Renderer(
            keys,
            settings.public_url,
            settings.sender,
            one_tap_domain=settings.one_tap_domain,
            look=settings.look,
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
