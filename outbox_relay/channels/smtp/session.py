"""SMTP servers and the relay's sessions with them: from connecting to logged in, and when to connect again."""

import asyncio
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from enum import Enum, auto

from outbox_relay.channels.base import Credentials, MessageSource, ProviderDownError, Session, readable_certificate
from outbox_relay.channels.smtp.connection import CLOSING, Connection, ProtocolError, Reply
from outbox_relay.channels.smtp.delivery import Delivery, SmtpCapabilities
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl, ssl_context
from outbox_relay.failures.network import connection_failure
from outbox_relay.failures.smtp import SmtpCommand
from shared.reports.return_paths import BounceAddress
from shared.urls import host_and_port, is_loopback
from shared.vocabulary import Channel

SUBMISSION_PORT = 587
SUBMISSIONS_PORT = 465

LONGEST_IDLE_SECONDS = 30.0
"""Servers close idle connections. After this idle time, a session opens a new connection, because the server may close
the old one just when the relay sends a message."""

LOCK_STEP_SECONDS = 3600.0
"""How long PIPELINING is not used with a server that could not cope with it."""

LONGEST_STEP_SECONDS = 10.0
"""A healthy server replies much faster. RFC 5321 §4.5.3.2 would allow it five minutes for each command."""

SECOND_ADDRESS_AFTER_SECONDS = 0.25
"""When to try the next address of a host whose first one does not respond (RFC 8305 §5)."""


class Tls(Enum):
    """When the connection is encrypted."""

    NONE = auto()
    STARTTLS = auto()
    IMPLICIT = auto()


@dataclass(frozen=True)
class Server:
    """Where and how to connect.

    ``timeout`` is the limit for one message, in seconds. Each step before the first message has a limit that is never
    longer.
    """

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
        """``smtp:host:port``, or ``smtps:…`` if encrypted from the start."""
        return f"{'smtps' if self.tls is Tls.IMPLICIT else 'smtp'}:{host_and_port(self.host, self.port)}"


@dataclass
class ServerQuirks:
    """Facts about a server that its sessions have learned."""

    lock_step_until: float = float("-inf")

    def copes_with_pipelining(self, now: float) -> bool:
        """Return whether several commands may go in one write. ``now`` is the event loop's time."""
        return now >= self.lock_step_until

    def suspend_pipelining(self, now: float) -> None:
        """Wait for each reply before the next command, for LOCK_STEP_SECONDS."""
        self.lock_step_until = now + LOCK_STEP_SECONDS


@dataclass(frozen=True)
class SmtpProvider:
    """A mail server. ``sender`` is the envelope's address, unless ``bounces`` makes one for each message."""

    server: Server
    sender: str
    bounces: BounceAddress | None = None
    quirks: ServerQuirks = field(default_factory=ServerQuirks, compare=False)

    @property
    def name(self) -> str:
        """``smtp:host:port``."""
        return self.server.name

    def session(self) -> Session:
        """Create a session, which connects when it is first used."""
        return SmtpSession(self)


class SmtpSession:
    """One connection at a time; see ``channels.base.Session``.

    The time limit of a message is the server's timeout, counted from the end of the previous message. With PIPELINING,
    a session takes a message while it still sends the previous one. So it holds a message for at most twice the
    timeout.
    """

    _capabilities: SmtpCapabilities

    def __init__(self, provider: SmtpProvider) -> None:
        self._provider = provider
        self._connection: Connection | None = None
        self._has_accepted = False
        self._idle_since = 0.0

    async def deliver(self, source: MessageSource) -> None:
        """Deliver messages on a connection that is open and was used recently."""
        delivery = Delivery(await self._open_connection(), source, self._capabilities)
        delivery.has_accepted = self._has_accepted
        try:
            await delivery.run()
        except ProviderDownError:
            if delivery.is_out_of_step:
                self._provider.quirks.suspend_pipelining(self._now())
            raise
        finally:
            self._has_accepted = delivery.has_accepted
            self._idle_since = self._now()

    async def close(self) -> None:
        """Send QUIT and close."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.quit()

    async def _open_connection(self) -> Connection:
        if self._connection is not None and self._connection.is_open and not self._is_stale():
            return self._connection
        await self.close()
        handshake, provider = Handshake(self._provider.server), self._provider
        self._connection = await handshake.run()
        self._capabilities = SmtpCapabilities(
            provider.name,
            provider.sender,
            provider.server.timeout,
            bounces=provider.bounces,
            has_pipelining="PIPELINING" in handshake.extensions and provider.quirks.copes_with_pipelining(self._now()),
            has_smtputf8="SMTPUTF8" in handshake.extensions,
        )
        self._has_accepted = False
        return self._connection

    def _is_stale(self) -> bool:
        return self._now() - self._idle_since > LONGEST_IDLE_SECONDS

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class RefusedError(ConnectionError):
    """The server refuses a command before the first message."""

    def __init__(self, command: SmtpCommand, reply: Reply) -> None:
        super().__init__(f"{command}: {reply}")
        self.reply = reply


class Handshake:
    """Greeting, EHLO, STARTTLS and AUTH, each within its time. Credentials never go in clear over a network.

    ``extensions`` has the keywords of EHLO with their parameters.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._step_seconds = min(server.timeout, LONGEST_STEP_SECONDS)
        self._loop = asyncio.get_running_loop()
        self._connection = Connection(self)
        self._reply: asyncio.Future[Reply] = self._loop.create_future()
        self._lost_by: Exception | None = None
        self.extensions: dict[str, list[str]] = {}

    async def run(self) -> Connection:
        """Return a connection that is ready for messages. Raises ProviderDownError."""
        try:
            with readable_certificate():
                await self._connect()
            await self._expect(SmtpCommand.CONNECT, 220)
            await self._ehlo()
            if self._server.tls is Tls.STARTTLS:
                with readable_certificate():
                    await self._start_tls()
                await self._ehlo()
            if self._server.credentials:
                await self._log_in(self._server.credentials)
            self._raise_if_lost()
        except OSError as error:
            self._connection.abort(error)
            raise ProviderDownError(connection_failure(self._server.name, error, maybe_accepted=False)) from error
        except BaseException:
            self._connection.abort(ConnectionAbortedError("the relay broke off"))
            raise
        return self._connection

    def _raise_if_lost(self) -> None:
        """Raise the error if data that followed a reply has ended the connection."""
        if self._lost_by:
            raise self._lost_by

    async def _connect(self) -> None:
        is_encrypted = self._server.tls is Tls.IMPLICIT
        try:
            async with asyncio.timeout(self._step_seconds):
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

    async def _ehlo(self) -> None:
        reply = await self._command(SmtpCommand.EHLO, f"EHLO {self._own_name()}", 250)
        _, *lines = reply.text.upper().split("\n")
        self.extensions = {words[0]: words[1:] for line in lines if (words := line.split())}

    def _own_name(self) -> str:
        """Return this host's name if it is fully qualified, or else its address (RFC 5321 §4.1.4)."""
        name = socket.gethostname()
        if "." in name and name.isascii():
            return name
        address = self._connection.own_address
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    async def _start_tls(self) -> None:
        if "STARTTLS" not in self.extensions or self._server.ssl_context is None:
            raise ConnectionRefusedError("the server does not offer STARTTLS")
        await self._command(SmtpCommand.STARTTLS, "STARTTLS", 220)
        await self._connection.start_tls(self._server.ssl_context, self._server.host, self._step_seconds)

    async def _log_in(self, credentials: Credentials) -> None:
        methods = self.extensions.get("AUTH", [])
        if "PLAIN" in methods:
            secret = _base64(f"\0{credentials.user}\0{credentials.password}")
            await self._secret_command("AUTH PLAIN ", secret, 235)
        elif "LOGIN" in methods:
            await self._command(SmtpCommand.AUTH, "AUTH LOGIN", 334)
            await self._secret_command("", _base64(credentials.user), 334)
            await self._secret_command("", _base64(credentials.password), 235)
        else:
            raise ConnectionRefusedError("the server offers neither AUTH PLAIN nor AUTH LOGIN")

    async def _secret_command(self, before: str, secret: str, expected: int) -> None:
        """Send a secret. If the server's reply quotes the secret, remove it from the reply, which operators can see."""
        try:
            await self._command(SmtpCommand.AUTH, before + secret, expected)
        except RefusedError as error:
            redacted = error.reply._replace(text=error.reply.text.replace(secret, "…"))
            raise RefusedError(SmtpCommand.AUTH, redacted) from None

    async def _command(self, command: SmtpCommand, line: str, expected: int) -> Reply:
        self._raise_if_lost()
        self._reply = self._loop.create_future()
        self._connection.write(f"{line}\r\n".encode("ascii"))
        return await self._expect(command, expected)

    async def _expect(self, command: SmtpCommand, code: int) -> Reply:
        try:
            async with asyncio.timeout(self._step_seconds):
                reply = await self._reply
        except TimeoutError:
            raise TimeoutError(f"{command}: the server did not reply in time") from None
        if reply.code != code:
            raise RefusedError(command, reply)
        return reply

    def reply_received(self, reply: Reply) -> None:
        """Complete the command that waits for the reply."""
        if not self._reply.done():
            self._reply.set_result(reply)
        elif reply.code == CLOSING:
            self._connection.abort(ConnectionResetError(str(reply)))
        else:
            self._connection.abort(ProtocolError("the server spoke out of turn"))

    def connection_lost(self, error: Exception) -> None:
        """Fail the command that waits for a reply."""
        self._lost_by = error
        if not self._reply.done():
            self._reply.set_exception(error)
            self._reply.exception()  # marks it as retrieved: asyncio would log an exception that no command awaits


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")


def _smtp_provider(url: ProviderUrl, context: DeliveryContext) -> SmtpProvider:
    options = url.options("tls", "ca")
    match options.get("tls", "starttls"):
        case "starttls":
            return _provider(url, Tls.STARTTLS, ssl_context(options.get("ca")), context)
        case "none":
            return _provider(url, Tls.NONE, None, context)
        case _:
            raise ValueError("has a smtp URL whose tls is neither starttls nor none")


def _smtps_provider(url: ProviderUrl, context: DeliveryContext) -> SmtpProvider:
    return _provider(url, Tls.IMPLICIT, ssl_context(url.options("ca").get("ca")), context)


def _provider(url: ProviderUrl, tls: Tls, trusted: ssl.SSLContext | None, context: DeliveryContext) -> SmtpProvider:
    if url.path.strip("/"):
        raise ValueError(f"has a {url.scheme} URL with a path")
    server = Server(
        host=url.host(),
        port=url.port or (SUBMISSIONS_PORT if tls is Tls.IMPLICIT else SUBMISSION_PORT),
        tls=tls,
        credentials=url.credentials(),
        ssl_context=trusted,
        timeout=context.timeout.total_seconds(),
    )
    return SmtpProvider(server, context.sender, context.bounces)


SMTP = ProviderScheme(frozenset({Channel.EMAIL}), _smtp_provider)
SMTPS = ProviderScheme(frozenset({Channel.EMAIL}), _smtps_provider)
