"""Interfaces between the relay and its providers, and helpers for several kinds of providers.

A session pulls: it takes a message when it can submit one, and reports the result. Therefore, a session with a slow
provider holds only the messages that it is delivering. A session with a fast provider takes the next message at once.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from outbox_relay.model import WITHOUT_CAPS, Caps, Failure, RenderedMessage, Sent

LONGEST_MESSAGE_ID = 200
"""Characters of a provider's message id that are stored."""

GRACE_SECONDS = 0.25
"""Enough time for the event loop to read its sockets. After a pause of the process, the loop may run due timers before
it reads data that has already arrived."""


class ProviderDownError(Exception):
    """The provider cannot be reached or refuses to talk to us. No message was taken for it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


class MessageSource(Protocol):
    """Where a session takes messages from and reports their results."""

    def take(self) -> RenderedMessage | None:
        """Return the next rendered message to submit, or None if no message is waiting."""

    def report(self, rendered: RenderedMessage, result: Sent | Failure) -> None:
        """Report the result of a message that was taken. Exactly once for each."""


class NoMessages:
    """A source without messages: delivering from it only opens the session."""

    def take(self) -> None:
        """Return None."""

    def report(self, rendered: RenderedMessage, result: Sent | Failure) -> None:
        """Ignore the result, since no message is taken."""


class Session(Protocol):
    """A connection to a provider, opened when first needed and then kept open."""

    async def deliver(self, source: MessageSource) -> None:
        """Deliver messages until no message is waiting.

        Connects before it takes the first message, and raises ProviderDownError if it cannot. Every message taken is
        reported before this returns or raises. If the task is cancelled, each message that it has taken is reported as
        a failure, with ``maybe_accepted`` if it was submitted. If the provider ends the connection, these messages are
        reported as failures, too, and ProviderDownError is raised.
        """

    async def close(self) -> None:
        """End the session politely. Never raises, and returns quickly even if the other side hangs."""


class Provider(Protocol):
    """A server or company that delivers messages. ``name`` holds no credentials; it labels metrics and rows."""

    @property
    def name(self) -> str:
        """The name that operators see, such as ``smtp:mail.example.org:587``."""

    def session(self) -> Session:
        """Create a session, which connects when it is first used."""


@dataclass(frozen=True)
class Credentials:
    """User and password."""

    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True)
class CappedProvider:
    """A provider and its limits."""

    provider: Provider
    caps: Caps = WITHOUT_CAPS


@asynccontextmanager
async def timeout_with_grace(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after ``seconds`` plus a grace period in which data that has arrived is still read.

    Therefore, a reply that arrived in time is accepted, even if this process was suspended before it could read it.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        timer = loop.call_later(seconds, lambda: limit.reschedule(loop.time() + GRACE_SECONDS))
        try:
            yield
        finally:
            timer.cancel()


@contextmanager
def readable_certificate() -> Iterator[None]:
    """Raise ConnectionAbortedError if a name in the server's certificate cannot be decoded.

    Python's ssl decodes the names of a trusted certificate and raises UnicodeDecodeError for a name that is not UTF-8.
    UnicodeDecodeError is not an OSError, so callers would treat it as a bug of the relay. It is converted, because the
    fault is the server's.
    """
    try:
        yield
    except UnicodeError:
        raise ConnectionAbortedError("the server's certificate has a name that cannot be read") from None
