"""One TCP connection to an SMTP server: bytes out, whole replies in, handed to whoever listens."""

import asyncio
import ssl
from typing import Protocol, cast

from outbox_relay.channels.smtp.replies import GarbageError, Reply, ReplyParser

BUFFER_BYTES = 16 * 1024
GOOD_BYE_SECONDS = 0.5


class Listener(Protocol):
    """Whoever the server's words are for at the moment."""

    def heard(self, reply: Reply) -> None:
        """Take one reply, whether it was awaited or not."""

    def lost(self, error: Exception) -> None:
        """Learn that there is no connection any more; comes once, and nothing comes after it."""


class Connection(asyncio.BufferedProtocol):
    """Hands replies on from within the event loop's own callback, so that letters cost no task switch.

    A buffer of its own saves the loop's making one of 256 KiB for each read. ``reads`` counts them: what
    is heard within one read was said before anything written in it could have arrived.
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
        """Send now what the socket takes, and the rest when it can."""
        self._transport.write(data)

    def abort(self, error: Exception) -> None:
        """End an open connection at once and tell the listener why."""
        if not self.is_open:
            return
        self.is_open = False
        self._transport.abort()
        self.listener.lost(error)

    async def start_tls(self, context: ssl.SSLContext, host: str, patience: float) -> None:
        """Encrypt from here on; ``patience`` is in seconds.

        What came in clear behind the server's yes may be another's, put there to be taken for the
        server's words once the connection is trusted (RFC 3207 §5): then there is no connection.
        """
        if not self.is_open or not self._parser.is_empty:
            raise GarbageError("the server went on in clear after STARTTLS")
        transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=patience
        )
        # asyncio gives no transport when the connection is lost right behind the handshake.
        if transport is None or not self.is_open:
            raise ConnectionResetError("the server closed the connection")
        self._transport = transport

    async def say_good_bye(self) -> None:
        """Send QUIT and close, without waiting for long."""
        if self.is_open:
            self.write(b"QUIT\r\n")
            await asyncio.wait([self._closed], timeout=GOOD_BYE_SECONDS)
        self.abort(ConnectionAbortedError("closed by the relay"))
        await asyncio.wait([self._closed], timeout=GOOD_BYE_SECONDS)

    # What follows is called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Lend the buffer for one read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on the replies that the read has completed; what is no reply ends the connection."""
        self.reads += 1
        try:
            for reply in self._parser.feed(bytes(self._buffer[:nbytes])):
                self.listener.heard(reply)
                if not self.is_open:
                    return
        except GarbageError as error:
            self.abort(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the listener, unless it was we who ended it."""
        self.abort(exc or ConnectionResetError("the server closed the connection"))
        if not self._closed.done():
            self._closed.set_result(None)
