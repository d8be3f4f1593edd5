"""One sample message through each configured provider, in the foreground; neither the outbox nor the database is asked.

What came of it is said by each provider, one after the other, as a courier would have heard it.
"""

from datetime import timedelta
from typing import NamedTuple

from outbox_relay.bootstrap import providers_of, rendering_of
from outbox_relay.channels.base import Provider, ProviderDownError
from outbox_relay.model import Failure, RenderedMessage, Sent
from outbox_relay.rendering.preview import fresh_activation
from outbox_relay.settings import RelaySettings
from shared.addresses import InvalidAddressError, canonical_phone, deliverable_email
from shared.vocabulary import Channel, Locale

SAMPLE_LIFE = timedelta(minutes=10)


class SampleFate(NamedTuple):
    """What came of the sample at one provider."""

    provider: str
    fate: Sent | Failure

    @property
    def is_sent(self) -> bool:
        """Tell whether the provider has accepted it."""
        return isinstance(self.fate, Sent)

    def __str__(self) -> str:
        match self.fate:
            case Sent(provider_message_id=answer):
                return f"{self.provider}: accepted" + (f" ({answer})" if answer else "")
            case Failure(kind=kind, error=error):
                return f"{self.provider}: not accepted, by a fault of the {kind}: {error}"


class OneLetterTray:
    """See ``channels.base.Tray``; has one letter, and keeps its fate."""

    def __init__(self, letter: RenderedMessage) -> None:
        self._letter: RenderedMessage | None = letter
        self.fate: Sent | Failure | None = None

    def take(self) -> RenderedMessage | None:
        """Return the letter, once."""
        letter, self._letter = self._letter, None
        return letter

    def report(self, letter: RenderedMessage, fate: Sent | Failure) -> None:  # noqa: ARG002 - there is only one
        """Keep the letter's fate."""
        self.fate = fate


async def send_test(settings: RelaySettings, channel: Channel, recipient: str) -> list[SampleFate]:
    """Hand a sample to each provider of the channel, in their order; empty if it has none.

    The sample is an activation as anybody gets it, but its code and its link open nothing.
    """
    render, key_id = rendering_of(settings), settings.secret_keys.newest_id
    fates = []
    for capped in providers_of(settings).get(channel, ()):
        message = fresh_activation(channel, Locale.EN, key_id, life=SAMPLE_LIFE)._replace(recipient=recipient)
        fate = await _tried(capped.provider, RenderedMessage(message, render(message), taken_monotonic=0.0))
        fates.append(SampleFate(capped.provider.name, fate))
    return fates


def channel_of(address: str) -> Channel:
    """Tell which way an address is reached."""
    return Channel.EMAIL if "@" in address else Channel.SMS


def deliverable(channel: Channel, address: str) -> str:
    """Return the address as the outbox would hold it. Raises InvalidAddressError."""
    match channel:
        case Channel.EMAIL:
            return deliverable_email(address)
        case Channel.SMS if address.startswith("+"):
            return canonical_phone(address)
        case Channel.SMS:
            raise InvalidAddressError("not a phone number with its country code")


async def _tried(provider: Provider, letter: RenderedMessage) -> Sent | Failure:
    tray, session = OneLetterTray(letter), provider.session()
    try:
        await session.carry(tray)
    except ProviderDownError as error:
        return tray.fate or error.failure
    finally:
        await session.close()
    if tray.fate is None:
        raise RuntimeError("the session has reported nothing")
    return tray.fate
