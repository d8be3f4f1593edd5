"""From connecting to logged in: greeting, EHLO, STARTTLS, AUTH. Credentials never go in clear."""

import asyncio
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass
from enum import Enum, auto

from outbox_relay.channels.base import Credentials, ProviderDownError
from outbox_relay.channels.certificates import readable_certificate
from outbox_relay.channels.smtp.connection import Connection
from outbox_relay.channels.smtp.replies import CLOSING, GarbageError, Reply
from outbox_relay.failures import SmtpCommand, broken_off
from shared.urls import is_loopback, place

LONGEST_STEP_SECONDS = 10.0
"""Servers that mean it answer in far less; RFC 5321 §4.5.3.2 would have us wait five minutes each."""

SECOND_ADDRESS_AFTER_SECONDS = 0.25
"""RFC 8305 §5: when a host has several addresses and the first does not answer."""


class Tls(Enum):
    """When the connection is encrypted."""

    NONE = auto()
    STARTTLS = auto()
    IMPLICIT = auto()


@dataclass(frozen=True)
class Server:
    """Where to connect and how; ``timeout`` is in seconds, for each letter and at most for each step."""

    host: str
    port: int
    tls: Tls
    credentials: Credentials | None
    ssl_context: ssl.SSLContext | None
    timeout: float

    def __post_init__(self) -> None:
        if self.credentials and self.tls is Tls.NONE and not is_loopback(self.host):
            raise ValueError("would send credentials in clear over a network")

    @property
    def name(self) -> str:
        """``smtp:host:port``, or ``smtps:…`` when encrypted from the start."""
        return f"{'smtps' if self.tls is Tls.IMPLICIT else 'smtp'}:{place(self.host, self.port)}"


class RefusedError(ConnectionError):
    """The server will not go on with the dialogue."""

    def __init__(self, command: SmtpCommand, reply: Reply) -> None:
        super().__init__(f"{command}: {reply}")
        self.reply = reply


class Dialogue:
    """The talk before the first letter, one question at a time, each within its time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._patience = min(server.timeout, LONGEST_STEP_SECONDS)
        self._loop = asyncio.get_running_loop()
        self._connection = Connection(self)
        self._answer: asyncio.Future[Reply] = self._loop.create_future()
        self._lost_by: Exception | None = None
        self.offers: dict[str, list[str]] = {}

    async def open(self) -> Connection:
        """Return a connection that is ready for letters; raises ProviderDownError."""
        try:
            with readable_certificate():
                await self._connect()
            await self._expect(SmtpCommand.CONNECT, 220)
            await self._say_hello()
            if self._server.tls is Tls.STARTTLS:
                with readable_certificate():
                    await self._start_tls()
                await self._say_hello()
            if self._server.credentials:
                await self._log_in(self._server.credentials)
            self._raise_if_lost()
        except OSError as error:
            self._connection.abort(error)
            raise ProviderDownError(broken_off(self._server.name, error, maybe_accepted=False)) from error
        except BaseException:
            self._connection.abort(ConnectionAbortedError("the relay broke off"))
            raise
        return self._connection

    def _raise_if_lost(self) -> None:
        """Raise what has ended the connection, if something has that came right behind an answer."""
        if self._lost_by:
            raise self._lost_by

    async def _connect(self) -> None:
        is_encrypted = self._server.tls is Tls.IMPLICIT
        try:
            async with asyncio.timeout(self._patience):
                await self._loop.create_connection(
                    lambda: self._connection,
                    self._server.host,
                    self._server.port,
                    ssl=self._server.ssl_context if is_encrypted else None,
                    server_hostname=self._server.host if is_encrypted else None,
                    happy_eyeballs_delay=SECOND_ADDRESS_AFTER_SECONDS,
                )
        except TimeoutError:
            raise TimeoutError("could not connect in time") from None

    async def _say_hello(self) -> None:
        reply = await self._ask(SmtpCommand.EHLO, f"EHLO {self._own_name()}", 250)
        _, *lines = reply.text.upper().split("\n")
        self.offers = {words[0]: words[1:] for line in lines if (words := line.split())}

    def _own_name(self) -> str:
        """Return this host's name if it is a full one, else its address (RFC 5321 §4.1.4)."""
        name = socket.gethostname()
        if "." in name and name.isascii():
            return name
        address = self._connection.own_address
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    async def _start_tls(self) -> None:
        if "STARTTLS" not in self.offers or self._server.ssl_context is None:
            raise ConnectionRefusedError("the server does not offer STARTTLS")
        await self._ask(SmtpCommand.STARTTLS, "STARTTLS", 220)
        await self._connection.start_tls(self._server.ssl_context, self._server.host, self._patience)

    async def _log_in(self, credentials: Credentials) -> None:
        methods = self.offers.get("AUTH", [])
        if "PLAIN" in methods:
            secret = _base64(f"\0{credentials.user}\0{credentials.password}")
            await self._ask_secretly("AUTH PLAIN ", secret, 235)
        elif "LOGIN" in methods:
            await self._ask(SmtpCommand.AUTH, "AUTH LOGIN", 334)
            await self._ask_secretly("", _base64(credentials.user), 334)
            await self._ask_secretly("", _base64(credentials.password), 235)
        else:
            raise ConnectionRefusedError("the server offers neither AUTH PLAIN nor AUTH LOGIN")

    async def _ask_secretly(self, before: str, secret: str, expected: int) -> None:
        """Ask with a secret, which a server that repeats what it was asked must not bring before operators."""
        try:
            await self._ask(SmtpCommand.AUTH, before + secret, expected)
        except RefusedError as error:
            told = error.reply._replace(text=error.reply.text.replace(secret, "…"))
            raise RefusedError(SmtpCommand.AUTH, told) from None

    async def _ask(self, command: SmtpCommand, line: str, expected: int) -> Reply:
        self._raise_if_lost()
        self._answer = self._loop.create_future()
        self._connection.write(f"{line}\r\n".encode("ascii"))
        return await self._expect(command, expected)

    async def _expect(self, command: SmtpCommand, code: int) -> Reply:
        try:
            async with asyncio.timeout(self._patience):
                reply = await self._answer
        except TimeoutError:
            raise TimeoutError(f"{command}: the server did not answer in time") from None
        if reply.code != code:
            raise RefusedError(command, reply)
        return reply

    def heard(self, reply: Reply) -> None:
        """Give the answer to whoever asked."""
        if not self._answer.done():
            self._answer.set_result(reply)
        elif reply.code == CLOSING:
            self._connection.abort(ConnectionResetError(str(reply)))
        else:
            self._connection.abort(GarbageError("the server spoke out of turn"))

    def lost(self, error: Exception) -> None:
        """Tell whoever waits for an answer that none will come."""
        self._lost_by = error
        if not self._answer.done():
            self._answer.set_exception(error)
            self._answer.exception()  # looked at: asyncio would log one that nobody came to await


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")
