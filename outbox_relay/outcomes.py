"""How an attempt can end, as the provider said it and as the outbox keeps it.

Each outcome has its ``word`` in statements, metrics and traces, and how many attempts it has ``spent``.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

from shared.vocabulary import DeadReason


class FailureClass(StrEnum):
    """Whose fault it was, and so what it costs.

    ``RECIPIENT`` and ``CONTENT`` are the message's own and final; ``TRANSIENT`` is its own and
    passes; ``PROVIDER`` is not its fault and costs it no attempt.
    """

    RECIPIENT = "recipient"
    CONTENT = "content"
    TRANSIENT = "transient"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong in one attempt.

    ``is_handed_over`` says that the provider may have taken the message all the same: the attempt
    broke after the final dot or the HTTP body, so its outcome is unknown. ``is_reply`` says that the
    provider has answered, about this very letter. ``error`` is for operators; it may quote the
    recipient and so is never logged.
    """

    kind: FailureClass
    provider: str | None
    error: str
    retry_after: timedelta | None = None
    is_handed_over: bool = False
    is_reply: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider has accepted the message: for people's messages a fact, whoever holds the lease by now."""

    word: ClassVar = "sent"
    spent: ClassVar = 1

    provider: str
    provider_message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after ``delay``; one attempt is spent."""

    word: ClassVar = "retry"
    spent: ClassVar = 1

    delay: timedelta
    failure: Failure


@dataclass(frozen=True, slots=True)
class Dead:
    """Never try again; an operator may think otherwise. Without a failure it died untried."""

    word: ClassVar = "dead"

    reason: DeadReason
    failure: Failure | None = None

    @property
    def spent(self) -> int:
        """How many attempts that took."""
        return 1 if self.failure else 0


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not the message's fault: due again after ``delay``, no attempt spent; without delay, in its old place."""

    word: ClassVar = "deferred"
    spent: ClassVar = 0

    delay: timedelta
    failure: Failure | None = None


HANDED_BACK = Deferred(timedelta(0))
"""Untried: due at once, in its old place."""

Unsent = Retry | Dead | Deferred
Outcome = Sent | Unsent
