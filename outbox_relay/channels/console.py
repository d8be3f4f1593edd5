"""Messages on standard output, for people developing."""

import email
import email.policy
import sys
from dataclasses import dataclass

from outbox_relay.channels.base import ProviderDownError, Session, Tray
from outbox_relay.failures import broken_off
from outbox_relay.model import RenderedMessage, Sent
from shared.vocabulary import Channel, WorkChannel

RULE = "─" * 72


@dataclass(frozen=True)
class ConsoleProvider:
    """The terminal that the relay was started from."""

    name: str = "console"

    def session(self) -> Session:
        """Make a session."""
        return ConsoleSession(self)


class ConsoleSession:
    """See ``channels.base.Session``."""

    def __init__(self, provider: ConsoleProvider) -> None:
        self._provider = provider

    async def carry(self, tray: Tray) -> None:
        """Print letter after letter."""
        while (letter := tray.take()) is not None:
            try:
                sys.stdout.write(_block(letter))
                sys.stdout.flush()
            except OSError as error:
                failure = broken_off(self._provider.name, error, maybe_accepted=False)
                tray.report(letter, failure)
                raise ProviderDownError(failure) from error
            tray.report(letter, Sent(self._provider.name))

    async def close(self) -> None:
        """Do nothing: standard output is not ours to close."""


def _block(letter: RenderedMessage) -> str:
    lines = [RULE, f"{letter.message.channel} to {letter.message.recipient}", *_words(letter).splitlines(), RULE, ""]
    return "\n".join(_harmless(line) for line in lines)


def _words(letter: RenderedMessage) -> str:
    match letter.message.channel:
        case Channel.EMAIL:
            return _words_of_mail(letter.content)
        case Channel.SMS | WorkChannel():
            return letter.content.decode(errors="replace")


def _words_of_mail(content: bytes) -> str:
    mail = email.message_from_bytes(content, policy=email.policy.default)
    text = mail.get_body(preferencelist=("plain", "html"))
    return f"Subject: {mail['Subject']}\n\n{text.get_content() if text else ''}"


def _harmless(line: str) -> str:
    """Take out what a terminal could take for a command."""
    return "".join(character for character in line if character.isprintable())
