"""What the relay asks of a provider, and what a provider may ask of the relay.

A session pulls: it takes a letter when it can hand one over and reports how that went. So a slow
provider never holds more than it is delivering, and a quick one can write the next letter behind the
last without waiting in between.
"""

from dataclasses import dataclass, field
from typing import Protocol

from outbox_relay.model import WITHOUT_CAPS, Caps, Failure, RenderedMessage, Sent

LONGEST_MESSAGE_ID = 200
"""Characters of a provider's own name for a message that are kept."""


class ProviderDownError(Exception):
    """The provider could not be reached or would not talk to us, and no letter was taken for it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


class Tray(Protocol):
    """Where a session takes letters from and reports their fate."""

    def take(self) -> RenderedMessage | None:
        """Return the next letter to hand over, rendered, or None when none waits."""

    def report(self, letter: RenderedMessage, fate: Sent | Failure) -> None:
        """Say how it went with a letter taken. Exactly once for each."""


class Session(Protocol):
    """One connection to a provider, opened when first needed and kept warm in between."""

    async def carry(self, tray: Tray) -> None:
        """Hand over what is on the tray until nothing is left on it.

        Connects before it takes the first letter and raises ProviderDownError if it cannot. Every letter
        taken is reported before this returns or raises, also when it is cancelled: then, as a failure
        that says whether the letter was handed over. When the provider breaks off in mid-way, the letters
        in hand are reported as failures and ProviderDownError is raised.
        """

    async def close(self) -> None:
        """Say good-bye and close. Never raises; quick, whatever the other side does."""


class Provider(Protocol):
    """A server or company behind a channel. ``name`` holds no credentials; it labels metrics and rows."""

    @property
    def name(self) -> str:
        """What operators call it, such as ``smtp:mail.example.org:587``."""

    def session(self) -> Session:
        """Make a session; nothing is connected yet."""


@dataclass(frozen=True)
class Credentials:
    """What to log in with."""

    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True)
class CappedProvider:
    """A provider and what it may be given at most."""

    provider: Provider
    caps: Caps = WITHOUT_CAPS
