"""Providers without a server: standard output for development, and a directory of files for trials and tests."""

import email
import email.policy
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from outbox_relay.channels.base import MessageSource, ProviderDownError, Session
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl
from outbox_relay.failures.network import connection_failure
from outbox_relay.model import Failure, RenderedMessage, Sent
from shared.vocabulary import Channel

RULE = "─" * 72


@dataclass(frozen=True)
class LocalProvider:
    """A terminal or a directory.

    It keeps no state, so the same object is both the provider and its session; see ``channels.base.Session``.
    ``prepare`` runs before the first message. ``write`` writes one message and returns its id. Both block the event
    loop, and raise OSError.
    """

    name: str
    prepare: Callable[[], None]
    write: Callable[[RenderedMessage], str | None]

    def session(self) -> Session:
        """Return the provider itself."""
        return self

    async def deliver(self, source: MessageSource) -> None:
        """Write messages."""
        try:
            self.prepare()
        except OSError as error:
            raise ProviderDownError(self._failure(error)) from error
        while (rendered := source.take()) is not None:
            try:
                message_id = self.write(rendered)
            except OSError as error:
                source.report(rendered, self._failure(error))
                raise ProviderDownError(self._failure(error)) from error
            source.report(rendered, Sent(self.name, message_id))

    async def close(self) -> None:
        """Return at once: no file is open."""

    def _failure(self, error: OSError) -> Failure:
        return connection_failure(self.name, error, maybe_accepted=False)


def _print(rendered: RenderedMessage) -> None:
    sys.stdout.write(_block(rendered))
    sys.stdout.flush()


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
    if rendered.message.channel is not Channel.EMAIL:
        return rendered.content.decode(errors="replace")
    mail = email.message_from_bytes(rendered.content, policy=email.policy.default)
    text = mail.get_body(preferencelist=("plain", "html"))
    return f"Subject: {mail['Subject']}\n\n{text.get_content() if text else ''}"


def _without_controls(line: str) -> str:
    """Remove what a terminal could interpret as a command."""
    return "".join(character for character in line if character.isprintable())


def _write_file(directory: Path, rendered: RenderedMessage) -> str:
    """Write to a temporary file and rename it, so that readers of the directory never see half a message."""
    name = f"{rendered.message.id}.{'eml' if rendered.message.channel is Channel.EMAIL else 'txt'}"
    handle, draft = tempfile.mkstemp(dir=directory, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(rendered.content)
        Path(draft).replace(directory / name)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise
    return name


def _console_provider(url: ProviderUrl, _context: DeliveryContext) -> LocalProvider:
    if url.netloc or url.path or url.query:
        raise ValueError("has a console URL with more to it than console:")
    return LocalProvider("console", lambda: None, _print)


def _file_provider(url: ProviderUrl, _context: DeliveryContext) -> LocalProvider:
    if url.netloc or url.query or not url.path.startswith("/"):
        raise ValueError("has a file URL that is not file:///directory")
    directory = Path(unquote(url.path))  # created when first needed; only the owner can read its files
    prepare = partial(directory.mkdir, mode=0o700, parents=True, exist_ok=True)
    return LocalProvider(f"file:{directory}", prepare, partial(_write_file, directory))


CONSOLE = ProviderScheme(frozenset(Channel), _console_provider, has_limits=False)
FILE = ProviderScheme(frozenset(Channel), _file_provider, has_limits=False)
