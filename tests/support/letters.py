"""Letters to hand over, and a tray that sees to it that each is reported exactly once."""

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID, uuid4

from outbox_relay.model import ClaimedMessage, Failure, RenderedMessage, Sent
from shared.ids import uuid7
from shared.vocabulary import Channel, Locale, Template


def a_letter(
    recipient: str = "ada@example.org",
    content: bytes = b"Subject: hello\r\n\r\nGood morning.\r\n",
    channel: Channel = Channel.EMAIL,
) -> RenderedMessage:
    message = ClaimedMessage(
        id=uuid7(),
        template=Template.ACTIVATION,
        channel=channel,
        recipient=recipient,
        locale=Locale.EN,
        payload={},
        token_id=None,
        attempt=0,
        max_attempts=8,
        expiries=0,
        created_at=datetime.now(UTC),
        due_at=datetime.now(UTC),
        expires_at=None,
        lease_token=uuid4(),
        lease_ends_monotonic=0.0,
        expires_monotonic=0.0,
        enqueued_monotonic=0.0,
    )
    return RenderedMessage(message, content, taken_monotonic=0.0)


class ListTray:
    """Gives letters in order and keeps their fates. A report of a letter that is not out is an error."""

    def __init__(self, letters: Iterable[RenderedMessage]) -> None:
        self.waiting = deque(letters)
        self.fates: dict[UUID, Sent | Failure] = {}
        self._out: set[UUID] = set()

    def take(self) -> RenderedMessage | None:
        if not self.waiting:
            return None
        letter = self.waiting.popleft()
        self._out.add(letter.message.id)
        return letter

    def report(self, letter: RenderedMessage, fate: Sent | Failure) -> None:
        self._out.remove(letter.message.id)
        self.fates[letter.message.id] = fate

    @property
    def has_all_back(self) -> bool:
        return not self._out

    def fate(self, letter: RenderedMessage) -> Sent | Failure:
        return self.fates[letter.message.id]

    def failure(self, letter: RenderedMessage) -> Failure:
        fate = self.fate(letter)
        assert isinstance(fate, Failure), fate
        return fate
