"""One TCP connection to an SMTP server: bytes out, whole replies in (RFC 5321 §4.2), and deadlines."""

import asyncio
import re
import ssl
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import NamedTuple, Protocol, cast

from outbox_relay.channels.base import LONGEST_MESSAGE_ID
from shared.texts import printable

BUFFER_BYTES = 16 * 1024
QUIT_SECONDS = 0.5

LONGEST_LINE = 2048
"""Octets. Four times what RFC 5321 §4.5.3.1.5 allows."""

MOST_LINES = 100

CLOSING = 421
"""The server closes the connection; may be the reply to any command (RFC 5321 §3.8)."""

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\r]*))?\r?")


class ProtocolError(ConnectionError):
    """The server sends something that is not SMTP, or that is out of sequence."""


class Reply(NamedTuple):
    """One whole reply. ``text`` has no reply codes and no unprintable characters."""

    code: int
    text: str

    @property
    def is_positive(self) -> bool:
        """Whether it is of the 2yz class."""
        return 200 <= self.code < 300  # noqa: PLR2004 - the class itself

    @property
    def is_temporary(self) -> bool:
        """Whether it is of the 4yz class."""
        return 400 <= self.code < 500  # noqa: PLR2004 - the class itself

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class ReplyParser:
    """Assembles replies, however packets split them. Holds at most one line and the texts of one reply."""

    def __init__(self) -> None:
        self._rest = b""
        self._texts: list[str] = []

    @property
    def is_empty(self) -> bool:
        """Whether no partial reply is held."""
        return not (self._rest or self._texts)

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Yield each reply that ``data`` completes. Raises ProtocolError after the replies that preceded the error."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            reply, is_last = _parsed(line)
            if is_last and not self._texts:
                yield reply
                continue
            self._texts.append(reply.text)
            if len(self._texts) > MOST_LINES:
                raise ProtocolError("the server sent a reply without end")
            if is_last:
                text, self._texts = "\n".join(self._texts), []
                yield Reply(reply.code, text)
        if len(self._rest) > LONGEST_LINE:
            raise ProtocolError("the server sent a line without end")


# Servers mostly repeat the same few lines.
@lru_cache(maxsize=64)
def _parsed(line: bytes) -> tuple[Reply, bool]:
    """Return the reply on the line, and whether the line is the last of the reply."""
    found = _LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
    if found is None:
        raise ProtocolError("the server sent something that is not an SMTP reply")
    code, separator, text = found.groups()
    return Reply(int(code), printable((text or b"").decode("ascii", "replace"))), separator != b"-"


def message_id_in(reply: Reply) -> str | None:
    """Return the server's id of the accepted message (``queued as ABC``), or else the reply's text."""
    for marker in ("queued as ", " id="):
        words = reply.text.partition(marker)[2].split(maxsplit=1)
        if words:
            return words[0][:LONGEST_MESSAGE_ID]
    return reply.text[:LONGEST_MESSAGE_ID] or None


class Listener(Protocol):
    """Receives what the server sends."""

    def reply_received(self, reply: Reply) -> None:
        """Handle one reply, expected or not."""

    def connection_lost(self, error: Exception) -> None:
        """Handle the end of the connection. Called once; no reply follows."""


class Connection(asyncio.BufferedProtocol):
    """Passes replies to its listener within the event loop's callback, so that a message costs no task switch.

    It has its own buffer; otherwise the event loop allocates 256 KiB for each read. ``reads`` counts the reads from the
    socket. All data of one read was sent before the server could see anything that the relay writes while it handles
    this read.
    """

    _transport: asyncio.Transport

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.is_open = False
        self.reads = 0
        self._closed = asyncio.get_running_loop().create_future()
        self._parser = ReplyParser()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    @property
    def own_address(self) -> str:
        """The IP address of this end."""
        return str(self._transport.get_extra_info("sockname")[0])

    def write(self, data: bytes) -> None:
        """Send what the socket takes now, and the rest when it can."""
        self._transport.write(data)

    def abort(self, error: Exception) -> None:
        """End an open connection at once and report the error to the listener."""
        if not self.is_open:
            return
        self.is_open = False
        self._transport.abort()
        self.listener.connection_lost(error)

    async def start_tls(self, context: ssl.SSLContext, host: str, timeout: float) -> None:  # noqa: ASYNC109 - for asyncio
        """Encrypt from here on. ``timeout`` is in seconds.

        Unencrypted bytes after the server's reply to STARTTLS end the connection. An attacker may have inserted them,
        and the relay would read them as the server's replies once the connection is encrypted (RFC 3207 §5).
        """
        if not self.is_open or not self._parser.is_empty:
            raise ProtocolError("the server went on in clear after STARTTLS")
        transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=timeout
        )
        # asyncio returns no transport if the connection is lost right after the handshake.
        if transport is None or not self.is_open:
            raise ConnectionResetError("the server closed the connection")
        self._transport = transport

    async def quit(self) -> None:
        """Send QUIT and close, without waiting for long."""
        if self.is_open:
            self.write(b"QUIT\r\n")
            await asyncio.wait([self._closed], timeout=QUIT_SECONDS)
        self.abort(ConnectionAbortedError("closed by the relay"))
        await asyncio.wait([self._closed], timeout=QUIT_SECONDS)

    # The event loop calls the methods below.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return the buffer for one read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on the replies that the read has completed. A malformed reply ends the connection."""
        self.reads += 1
        try:
            for reply in self._parser.feed(bytes(self._buffer[:nbytes])):
                self.listener.reply_received(reply)
                if not self.is_open:
                    return
        except ProtocolError as error:
            self.abort(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss to the listener, unless this end has closed the connection."""
        self.abort(exc or ConnectionResetError("the server closed the connection"))
        if not self._closed.done():
            self._closed.set_result(None)


class Deadline:
    """Calls ``expired`` once ``allowance`` seconds have passed since the last renewal.

    ``renew`` only stores a time. There is one timer; if it fires before that time, it is started again. To start and
    cancel a timer for each message would cost more than to parse all its replies.
    """

    def __init__(self, allowance: float, expired: Callable[[], None]) -> None:
        self._allowance = allowance
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self.renew()
        self._timer = self._loop.call_at(self._at, self._check)

    def renew(self) -> None:
        """Start the allowance again."""
        self._at = self._loop.time() + self._allowance

    def cancel(self) -> None:
        """Stop: ``expired`` is not called any more."""
        self._timer.cancel()

    def _check(self, *, is_final: bool = False) -> None:
        if self._loop.time() < self._at:
            self._timer = self._loop.call_at(self._at, self._check)
        elif is_final:
            self._expired()
        else:
            # After the process was suspended, this timer may run before the loop has read a reply that is already in
            # the socket. So the check is repeated in the next iteration, after the sockets have been read.
            self._timer = self._loop.call_later(0, partial(self._check, is_final=True))
