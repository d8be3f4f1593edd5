"""Rendered messages, and a source that fails unless each message is reported exactly once."""

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from math import inf
from uuid import UUID, uuid4

from outbox_relay.model import ClaimedMessage, Failure, RenderedMessage, Sent
from shared.ids import uuid7
from shared.templates import Template
from shared.vocabulary import Channel, Locale


def a_message(
    recipient: str = "ada@example.org",
    content: bytes = b"Subject: hello\r\n\r\nGood morning.\r\n",
    channel: Channel = Channel.EMAIL,
    valid_seconds: float = inf,
) -> RenderedMessage:
    message = ClaimedMessage(
        id=uuid7(),
        template=Template("activation"),
        channel=channel,
        recipient=recipient,
        locale=Locale.EN,
        payload={},
        token_id=None,
        attempt=0,
        max_attempts=8,
        lost_leases=0,
        created_at=datetime.now(UTC),
        due_at=datetime.now(UTC),
        expires_at=None,
        lease_token=uuid4(),
        lease_ends_monotonic=0.0,
        expires_monotonic=1000.0 + valid_seconds,
        enqueued_monotonic=0.0,
    )
    return RenderedMessage(message, content, taken_monotonic=1000.0)


class ListSource:
    """Returns messages in order and stores their results. Reporting a message that was not taken is an error."""

    def __init__(self, messages: Iterable[RenderedMessage]) -> None:
        self.waiting = deque(messages)
        self.results: dict[UUID, Sent | Failure] = {}
        self._out: set[UUID] = set()

    def take(self) -> RenderedMessage | None:
        if not self.waiting:
            return None
        rendered = self.waiting.popleft()
        self._out.add(rendered.message.id)
        return rendered

    def report(self, rendered: RenderedMessage, result: Sent | Failure) -> None:
        self._out.remove(rendered.message.id)
        self.results[rendered.message.id] = result

    @property
    def has_all_reported(self) -> bool:
        return not self._out

    def result(self, rendered: RenderedMessage) -> Sent | Failure:
        return self.results[rendered.message.id]

    def failure(self, rendered: RenderedMessage) -> Failure:
        result = self.result(rendered)
        assert isinstance(result, Failure), result
        return result
