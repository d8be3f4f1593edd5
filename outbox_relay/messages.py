"""What the relay holds in its hands: a message it has claimed, and the letter made of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from shared.vocabulary import AnyChannel, AnyTemplate, Locale, Urgency

POISON_EXPIRIES = 5
"""After so many lost leases a message is taken for one that kills whatever tries it."""


@dataclass(frozen=True, slots=True)
class LaneKey:
    """What the messages of one lane have in common."""

    channel: AnyChannel
    urgency: Urgency


class ClaimedMessage(NamedTuple):
    """A message and the lease on it.

    ``attempt`` counts the attempts already spent. What ends in ``_monotonic`` is a moment of this
    process's monotonic clock, in seconds, worked out from intervals that the database measured.
    ``due_at`` is its place in the queue, which it keeps while it is leased. A tuple, since a frozen
    dataclass of so many fields takes seven times as long to make.
    """

    id: UUID
    template: AnyTemplate
    channel: AnyChannel
    recipient: str
    locale: Locale
    payload: dict[str, Any]
    token_id: UUID | None
    attempt: int
    max_attempts: int
    expiries: int
    created_at: datetime
    due_at: datetime
    expires_at: datetime | None
    lease_token: UUID
    lease_ends_monotonic: float
    expires_monotonic: float
    enqueued_monotonic: float

    def __repr__(self) -> str:
        return f"ClaimedMessage({self.id})"  # neither the recipient nor what is in the payload

    @property
    def is_poison(self) -> bool:
        """Tell whether it has cost too many leases to be tried again."""
        return self.expiries >= POISON_EXPIRIES


class Letter(NamedTuple):
    """A message rendered for its channel, ready to hand over.

    ``content`` of an e-mail is the whole RFC 5322 message: 7-bit, but for a recipient that is not, CRLF
    line ends, no line that begins with a dot, ending in CRLF. That of an SMS is its text in UTF-8.
    ``taken_monotonic`` is when a session took it in hand.
    """

    message: ClaimedMessage
    content: bytes
    taken_monotonic: float

    def __repr__(self) -> str:
        return f"Letter({self.message.id})"
