"""A relay that claims and settles, but neither renders nor sends: like a peer with a no-op handler.

The product itself has no such provider, so no setting can lose messages.
"""

from dataclasses import dataclass
from unittest.mock import patch

from outbox_relay import cli
from outbox_relay.channels.base import MessageSource
from outbox_relay.channels.urls import ProviderScheme
from outbox_relay.model import ClaimedMessage, Sent
from outbox_relay.rendering.renderer import Renderer
from shared.vocabulary import Channel

NAME = "noop:"


class NoopSession:
    """A ``channels.base.Session`` that accepts every message."""

    async def deliver(self, source: MessageSource) -> None:
        """Report every message as sent."""
        while (message := source.take()) is not None:
            source.report(message, Sent(NAME))

    async def close(self) -> None:
        """Do nothing: no connection is open."""


@dataclass(frozen=True)
class NoopProvider:
    """A ``channels.base.Provider`` that accepts every message."""

    name: str = NAME

    def session(self) -> NoopSession:
        """Create a session."""
        return NoopSession()


def _empty(_renderer: Renderer, _message: ClaimedMessage) -> bytes:
    """Replace rendering. A mock would be slower and would keep all its arguments."""
    return b""


def main() -> None:
    """Run ``outbox-relay`` with the provider ``noop:``."""
    scheme = ProviderScheme(frozenset({Channel.EMAIL}), lambda _url, _context: NoopProvider())
    find_noop = patch("outbox_relay.channels.urls.find_scheme", lambda _name: scheme)
    with find_noop, patch.object(Renderer, "render", _empty):
        cli.main()
