"""One file per message in a directory, for trying things out and for tests."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from outbox_relay.channels.base import ProviderDownError, Session, Tray
from outbox_relay.failures import broken_off
from outbox_relay.model import RenderedMessage, Sent
from shared.vocabulary import Channel, WorkChannel


@dataclass(frozen=True)
class FileProvider:
    """A directory, made when first needed; its files can be read by their owner only."""

    directory: Path

    @property
    def name(self) -> str:
        """``file:/directory``."""
        return f"file:{self.directory}"

    def session(self) -> Session:
        """Make a session."""
        return FileSession(self)


class FileSession:
    """See ``channels.base.Session``; writes at once, without leaving the event loop to others."""

    def __init__(self, provider: FileProvider) -> None:
        self._provider = provider

    async def carry(self, tray: Tray) -> None:
        """Write letter after letter."""
        try:
            self._provider.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ProviderDownError(broken_off(self._provider.name, error, maybe_accepted=False)) from error
        while (letter := tray.take()) is not None:
            self._write(letter, tray)

    async def close(self) -> None:
        """Do nothing: there is nothing open."""

    def _write(self, letter: RenderedMessage, tray: Tray) -> None:
        path = self._provider.directory / _file_name(letter)
        try:
            _write_whole(path, letter.content)
        except OSError as error:
            failure = broken_off(self._provider.name, error, maybe_accepted=False)
            tray.report(letter, failure)
            raise ProviderDownError(failure) from error
        tray.report(letter, Sent(self._provider.name, path.name))


def _file_name(letter: RenderedMessage) -> str:
    match letter.message.channel:
        case Channel.EMAIL:
            return f"{letter.message.id}.eml"
        case Channel.SMS | WorkChannel():
            return f"{letter.message.id}.txt"


def _write_whole(path: Path, content: bytes) -> None:
    """Write under another name first, so that whoever watches the directory never sees half a letter."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(draft).replace(path)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise
