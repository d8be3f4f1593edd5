"""A relay whose messages go nowhere: what is left is claiming and settling.

It does as little for a message as the peers' handlers that do nothing: no mail is made either. The product
itself knows no such provider, so that no setting can ever lose a message.
"""

from dataclasses import dataclass
from unittest.mock import patch
from urllib.parse import SplitResult

from outbox_relay import cli
from outbox_relay.channels.base import Tray
from outbox_relay.channels.urls import DeliveryContext
from outbox_relay.messages import ClaimedMessage
from outbox_relay.outcomes import Sent
from outbox_relay.rendering import Renderer
from shared.vocabulary import Channel

NAME = "null:"


class NullSession:
    """See ``channels.base.Session``."""

    async def carry(self, tray: Tray) -> None:
        """Say yes to letter after letter."""
        while (letter := tray.take()) is not None:
            tray.report(letter, Sent(NAME))

    async def close(self) -> None:
        """Do nothing: there is nothing open."""


@dataclass(frozen=True)
class NullProvider:
    """See ``channels.base.Provider``."""

    name: str = NAME

    def session(self) -> NullSession:
        """Make a session."""
        return NullSession()


def _null(_parts: SplitResult, _context: DeliveryContext) -> NullProvider:
    return NullProvider()


def _nothing(_renderer: Renderer, _message: ClaimedMessage) -> bytes:
    """Stand in for rendering. A mock would take as long as a third of all else, and keep what it was called with."""
    return b""


def main() -> None:
    """Do as `outbox-relay`."""
    schemes = {Channel.EMAIL: {"null": _null}}
    with patch.dict("outbox_relay.channels.urls._MAKERS", schemes), patch.object(Renderer, "render", _nothing):
        cli.main()
