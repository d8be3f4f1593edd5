"""Providers without a server: standard output for development, and a directory of files for trials and tests."""

import email
import email.policy
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from outbox_relay.channels.base import MessageSource, ProviderDownError, Session
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl
from outbox_relay.failures import connection_failure
from outbox_relay.model import RenderedMessage, Sent
from shared.vocabulary import Channel, WorkChannel

RULE = "─" * 72


@dataclass(frozen=True)
class ConsoleProvider:
    """The terminal that the relay was started from."""

    name: str = "console"

    def session(self) -> Session:
        """Create a session."""
        return ConsoleSession(self)


class ConsoleSession:
    """See ``channels.base.Session``."""

    def __init__(self, provider: ConsoleProvider) -> None:
        self._provider = provider

    async def deliver(self, source: MessageSource) -> None:
        """Print messages."""
        while (rendered := source.take()) is not None:
            try:
                sys.stdout.write(_block(rendered))
                sys.stdout.flush()
            except OSError as error:
                failure = connection_failure(self._provider.name, error, maybe_accepted=False)
                source.report(rendered, failure)
                raise ProviderDownError(failure) from error
            source.report(rendered, Sent(self._provider.name))

    async def close(self) -> None:
        """Leave standard output open."""


@dataclass(frozen=True)
class FileProvider:
    """A directory, created when first needed. Only the owner can read its files."""

    directory: Path

    @property
    def name(self) -> str:
        """``file:/directory``."""
        return f"file:{self.directory}"

    def session(self) -> Session:
        """Create a session."""
        return FileSession(self)


class FileSession:
    """See ``channels.base.Session``. Writing a file blocks the event loop."""

    def __init__(self, provider: FileProvider) -> None:
        self._provider = provider

    async def deliver(self, source: MessageSource) -> None:
        """Write one file for each message."""
        try:
            self._provider.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ProviderDownError(connection_failure(self._provider.name, error, maybe_accepted=False)) from error
        while (rendered := source.take()) is not None:
            path = self._provider.directory / _file_name(rendered)
            try:
                _write_atomically(path, rendered.content)
            except OSError as error:
                failure = connection_failure(self._provider.name, error, maybe_accepted=False)
                source.report(rendered, failure)
                raise ProviderDownError(failure) from error
            source.report(rendered, Sent(self._provider.name, path.name))

    async def close(self) -> None:
        """Do nothing: no file is open."""


def _block(rendered: RenderedMessage) -> str:
    lines = [
        RULE,
        f"{rendered.message.channel} to {rendered.message.recipient}",
        *_text(rendered).splitlines(),
        RULE,
        "",
    ]
    return "\n".join(_without_controls(line) for line in lines)


def _text(rendered: RenderedMessage) -> str:
    match rendered.message.channel:
        case Channel.EMAIL:
            return _text_of_mail(rendered.content)
        case Channel.SMS | WorkChannel():
            return rendered.content.decode(errors="replace")


def _text_of_mail(content: bytes) -> str:
    mail = email.message_from_bytes(content, policy=email.policy.default)
    text = mail.get_body(preferencelist=("plain", "html"))
    return f"Subject: {mail['Subject']}\n\n{text.get_content() if text else ''}"


def _without_controls(line: str) -> str:
    """Remove what a terminal could interpret as a command."""
    return "".join(character for character in line if character.isprintable())


def _file_name(rendered: RenderedMessage) -> str:
    match rendered.message.channel:
        case Channel.EMAIL:
            return f"{rendered.message.id}.eml"
        case Channel.SMS | WorkChannel():
            return f"{rendered.message.id}.txt"


def _write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file and rename it, so that readers of the directory never see half a message."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(draft).replace(path)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise


def _console_provider(url: ProviderUrl, _context: DeliveryContext) -> ConsoleProvider:
    if url.netloc or url.path or url.query:
        raise ValueError("has a console URL with more to it than console:")
    return ConsoleProvider()


def _file_provider(url: ProviderUrl, _context: DeliveryContext) -> FileProvider:
    if url.netloc or url.query or not url.path.startswith("/"):
        raise ValueError("has a file URL that is not file:///directory")
    return FileProvider(Path(unquote(url.path)))


CONSOLE = ProviderScheme(frozenset(Channel), _console_provider, has_limits=False)
FILE = ProviderScheme(frozenset(Channel), _file_provider, has_limits=False)
