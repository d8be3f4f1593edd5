"""Where the relay is put together: settings in, parts out. Nothing is connected yet."""

import time
from dataclasses import dataclass
from datetime import timedelta

from outbox_relay.channels.base import Provider
from outbox_relay.channels.urls import DeliveryContext, providers_from
from outbox_relay.claims import Claims
from outbox_relay.database import Lifeline
from outbox_relay.ladder import Ladder
from outbox_relay.lane import Lane, LaneLimits, Outbox
from outbox_relay.relay import Relay
from outbox_relay.rendering import Renderer
from outbox_relay.settings import RelaySettings
from outbox_relay.settles import Settles
from outbox_relay.tray import Preparation
from shared.vocabulary import Channel

STOPPING_MARGIN = timedelta(seconds=5)
"""For the last settles, on top of the letters in hand."""


@dataclass(frozen=True)
class Parts:
    """The relay and the connections it works through."""

    relay: Relay
    claims: Claims
    claiming: Lifeline
    settling: Lifeline

    async def close(self) -> None:
        """Close the connections."""
        await self.claiming.close()
        await self.settling.close()


def assemble(settings: RelaySettings) -> Parts:
    """Put the relay together. Raises if a template is broken, so that a bad release does not start."""
    claiming = Lifeline(settings.database_url, "claim")
    settling = Lifeline(settings.database_url, "settle")
    outbox = Outbox(Claims(claiming, settings.lease), Settles(settling))
    renderer = Renderer(
        settings.secret_keys, settings.public_url, settings.email_from, one_tap_domain=settings.one_tap_domain
    )
    preparation = Preparation(renderer.render, settings.longest_in_hand)
    limits = LaneLimits(settings.batch_size, settings.connections)
    lanes = [
        Lane(channel, outbox, Ladder(providers, time.monotonic), preparation, limits)
        for channel, providers in _providers(settings).items()
    ]
    relay = Relay(lanes, min(settings.longest_in_hand + STOPPING_MARGIN, settings.lease))
    return Parts(relay, outbox.claims, claiming, settling)


def _providers(settings: RelaySettings) -> dict[Channel, tuple[Provider, ...]]:
    context = DeliveryContext(sender=settings.email_from.address, timeout=settings.longest_send)
    urls = {Channel.EMAIL: settings.email_providers, Channel.SMS: settings.sms_providers}
    return {channel: providers_from(text, channel, context) for channel, text in urls.items() if text}
