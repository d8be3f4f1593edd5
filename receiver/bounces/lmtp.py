"""Take bounces over LMTP (RFC 2033): 250 after the commit, 451 while the database is away."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from receiver.bounces.intake import Intake
from shared.log import get_logger
from shared.urls import host_and_port

LONGEST_MAIL_BYTES = 2**20
"""A larger mail is refused with 552. Signpost's mails are far smaller, and so are bounces of them."""
LONGEST_LINE_BYTES = 2**16
"""Some servers return lines longer than the 1000 bytes of RFC 5321 §4.5.3.1.6."""
MOST_CONNECTIONS = 50
IDLE_SECONDS = 60
STOP_SECONDS = 20.0
"""How long a stop waits for mails that have arrived. Above the store's time limit for a statement."""

STORED, DATABASE_AWAY = "250 2.0.0 taken", "451 4.3.0 try again later"
ONE_RECIPIENT = "452 4.5.3 one recipient at a time"

log = get_logger("receiver.lmtp")


class Connection(LMTP):
    """An LMTP connection. aiosmtpd reads the limit of a line from the class."""

    line_length_limit = LONGEST_LINE_BYTES

    def __init__(self, handler: "LmtpHandler") -> None:
        super().__init__(
            handler,
            data_size_limit=LONGEST_MAIL_BYTES,
            enable_SMTPUTF8=True,
            hostname="signpost-receiver",
            ident="LMTP",
            timeout=IDLE_SECONDS,
        )
        self._handler = handler

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or close the connection if there are too many."""
        self._handler.connections += 1
        super().connection_made(transport)
        if self._handler.connections > MOST_CONNECTIONS:
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self._handler.connections -= 1
        super().connection_lost(error)


class LmtpHandler:
    """Handlers that aiosmtpd calls at each step of a session. Their names are its own."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._idle = asyncio.Event()
        self._idle.set()
        self._busy = 0
        self.connections = 0

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take one recipient: a bounce has one, and LMTP wants a reply for each (RFC 2033 §4.2)."""
        if envelope.rcpt_tos:
            return ONE_RECIPIENT
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store what the mail reports."""
        self._busy += 1
        self._idle.clear()
        try:
            await asyncio.to_thread(self._intake.take, envelope.original_content or b"", envelope.rcpt_tos)
        except psycopg.Error:  # the store has logged it
            return DATABASE_AWAY
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()
        return STORED

    async def handle_exception(self, error: Exception) -> str:
        """Log a bug without its text, which may quote the mail, and keep the mail in the sender's queue."""
        log.error("bounce failed", exc_info=error)
        return DATABASE_AWAY

    async def wait_until_idle(self) -> None:
        """Wait for the mails that have arrived."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._idle.wait()


@asynccontextmanager
async def lmtp_server(bind: tuple[str, int] | Path, intake: Intake) -> AsyncIterator[None]:
    """Take bounces while the block runs. Raises OSError if the address is taken."""
    # aiosmtpd logs commands and addresses.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)
    loop, handler = asyncio.get_running_loop(), LmtpHandler(intake)
    server: Any = await (
        _on_socket_file(bind, handler)
        if isinstance(bind, Path)
        else loop.create_server(lambda: Connection(handler), *bind)
    )
    host_or_path = bind if isinstance(bind, Path) else host_and_port(*server.sockets[0].getsockname()[:2])
    log.info("lmtp listening", bind=str(host_or_path))
    try:
        yield
    finally:
        server.close()
        await handler.wait_until_idle()


async def _on_socket_file(path: Path, handler: LmtpHandler) -> asyncio.AbstractServer:
    server = await asyncio.get_running_loop().create_unix_server(lambda: Connection(handler), path)
    # The mail server is another user. Its access is limited by the folder, and reports need a MAC.
    os.chmod(path, 0o666)  # noqa: PTH101, S103 - it does not block
    return server
