"""Rendering messages several at a time: what is run again at once is still in the processor's caches."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from uuid import UUID

from outbox_relay.messages import ClaimedMessage

Render = Callable[[ClaimedMessage], bytes]
Upcoming = Callable[[int], Iterable[ClaimedMessage]]
"""Returns so many of the messages whose turn comes next, the first one first."""

MOST_AHEAD = 100
"""Messages; some 8 KB are held of each."""

LONGEST_AHEAD_SECONDS = 0.002
"""For so long all else waits. Of mails that are signed only a few are rendered together, then."""


class RenderedAhead:
    """Renders a message at its turn and, while it is at it, those that come next."""

    def __init__(self, render: Render, upcoming: Upcoming) -> None:
        self._render = render
        self._upcoming = upcoming
        self._contents: dict[UUID, tuple[ClaimedMessage, bytes]] = {}

    def content_of(self, message: ClaimedMessage) -> bytes:
        """Return what the message says; raises what rendering it raises, whoever else is rendered."""
        kept = self._contents.pop(message.id, None)
        if kept and kept[0] is message:  # and not the same claimed anew, which an operator may have mended
            return kept[1]
        content = self._render(message)
        self._look_ahead()
        return content

    def _look_ahead(self) -> None:
        self._contents.clear()
        until = monotonic() + LONGEST_AHEAD_SECONDS
        with suppress(Exception):  # what is wrong with a message is told at its own turn
            for message in self._upcoming(MOST_AHEAD):
                self._contents[message.id] = message, self._render(message)
                if monotonic() > until:
                    return
