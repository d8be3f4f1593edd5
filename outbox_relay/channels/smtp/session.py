"""SMTP servers and the relay's sessions with them: from connecting to logged in, and when to connect again."""

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

from outbox_relay.channels.base import MessageSource, ProviderDownError, Session, readable_certificate
from outbox_relay.channels.smtp.connection import CLOSING, Connection, ProtocolError, Reply
from outbox_relay.channels.smtp.delivery import Delivery, SmtpCapabilities
from outbox_relay.channels.smtp.login import LOGIN_OPTIONS, Login, login_from
from outbox_relay.channels.smtp.sasl import SaslError, decoded
from outbox_relay.channels.smtp.tokens import Secret
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl, ssl_context
from outbox_relay.failures.network import connection_failure
from outbox_relay.failures.smtp import SmtpCommand
from shared.reports.return_paths import BounceAddress
from shared.texts import printable
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

LONGEST_COMMAND = 510
"""Octets without the line end (RFC 5321 §4.5.3.1.4). A longer initial response of AUTH follows in a separate line,
which may have 12,288 octets (RFC 4954 §4)."""

LOGGED_IN = 235
CONTINUE = 334
"""Replies to AUTH (RFC 4954 §6). With 334, the server sends a challenge."""

SECOND_ADDRESS_AFTER_SECONDS = 0.25
"""When to try the next address of a host whose first one does not respond (RFC 8305 §5)."""


class Tls(Enum):
    """When the connection is encrypted."""

    NONE = auto()
    STARTTLS = auto()
    IMPLICIT = auto()


@dataclass(frozen=True)
class Server:
    """Where and how to connect. ``name`` is what operators see.

    ``timeout`` is the limit for one message, in seconds. Each step before the first message has a limit that is never
    longer.
    """

    name: str
    host: str
    port: int
    tls: Tls
    login: Login | None
    ssl_context: ssl.SSLContext | None
    timeout: float

    def __post_init__(self) -> None:
        if self.login and self.tls is Tls.NONE and not is_loopback(self.host):
            raise ValueError("would send credentials in clear over a network")


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
        """The server's name."""
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
        self._login_ends = inf

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
        handshake, provider = await self._handshake(), self._provider
        self._connection = handshake.connection
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

    async def _handshake(self) -> "Handshake":
        """Connect and log in. Raises ProviderDownError.

        A server may refuse a token that it has accepted before, because the token was revoked or two clocks
        differ. One more login, with a new token, then follows.
        """
        secret = await self._current_secret()
        handshake = Handshake(self._provider.server, secret)
        try:
            await handshake.run()
        except ProviderDownError:
            if not (secret and secret.is_refused and secret.has_worked):
                raise
            secret = await self._current_secret()
            handshake = Handshake(self._provider.server, secret)
            await handshake.run()
        self._login_ends = secret.expires_at if secret else inf
        return handshake

    async def _current_secret(self) -> Secret | None:
        server = self._provider.server
        try:
            return await server.login.source.current() if server.login else None
        except OSError as error:
            raise ProviderDownError(connection_failure(server.name, error, maybe_accepted=False)) from error

    def _is_stale(self) -> bool:
        now = self._now()
        return now - self._idle_since > LONGEST_IDLE_SECONDS or now >= self._login_ends

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class RefusedError(ConnectionError):
    """The server refuses a command before the first message. ``explanation`` is the server's reason."""

    def __init__(self, command: SmtpCommand, reply: Reply, explanation: str = "") -> None:
        super().__init__(f"{command}: {reply} {explanation}".rstrip())
        self.reply = reply


class Handshake:
    """Greeting, EHLO, STARTTLS and AUTH, each within its time. Credentials never go in clear over a network.

    ``extensions`` has the keywords of EHLO with their parameters.
    """

    def __init__(self, server: Server, secret: Secret | None) -> None:
        self._server = server
        self._secret = secret
        self._step_seconds = min(server.timeout, LONGEST_STEP_SECONDS)
        self._loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[Reply] = self._loop.create_future()
        self._lost_by: Exception | None = None
        self.connection = Connection(self)
        self.extensions: dict[str, list[str]] = {}

    async def run(self) -> None:
        """Make ``connection`` ready for messages. Raises ProviderDownError."""
        try:
            with readable_certificate():
                await self._connect()
            await self._expect(SmtpCommand.CONNECT, 220)
            await self._ehlo()
            if self._server.tls is Tls.STARTTLS:
                with readable_certificate():
                    await self._start_tls()
                await self._ehlo()
            if self._server.login and self._secret:
                await self._log_in(self._server.login, self._secret)
            self._raise_if_lost()
        except OSError as error:
            self.connection.abort(error)
            raise ProviderDownError(connection_failure(self._server.name, error, maybe_accepted=False)) from error
        except BaseException:
            self.connection.abort(ConnectionAbortedError("the relay broke off"))
            raise

    def _raise_if_lost(self) -> None:
        """Raise the error if data that followed a reply has ended the connection."""
        if self._lost_by:
            raise self._lost_by

    async def _connect(self) -> None:
        is_encrypted = self._server.tls is Tls.IMPLICIT
        try:
            async with asyncio.timeout(self._step_seconds):
                await self._loop.create_connection(
                    lambda: self.connection,
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
        address = self.connection.own_address
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    async def _start_tls(self) -> None:
        if "STARTTLS" not in self.extensions or self._server.ssl_context is None:
            raise ConnectionRefusedError("the server does not offer STARTTLS")
        await self._command(SmtpCommand.STARTTLS, "STARTTLS", 220)
        await self.connection.start_tls(self._server.ssl_context, self._server.host, self._step_seconds)

    async def _log_in(self, login: Login, secret: Secret) -> None:
        name, exchange = login.begin(self.extensions.get("AUTH", []), secret)
        reply, explanation = await self._first_of(name, next(exchange)), ""
        while reply.code == CONTINUE:
            challenge = decoded(reply.text)
            if challenge.startswith(
                b"{"
            ):  # the reason in JSON, before the reply that refuses a token (RFC 7628 §3.2.2)
                explanation = printable(challenge.decode(errors="replace"))
            try:
                response = exchange.send(challenge)
            except StopIteration:
                raise SaslError(f"the server asked for more than AUTH {name} has") from None
            reply = await self._secret_line(response)
        if reply.code != LOGGED_IN:
            secret.is_refused = not reply.is_temporary
            raise RefusedError(SmtpCommand.AUTH, reply, explanation)
        try:
            exchange.send(None)
        except StopIteration:
            secret.has_worked = True
        else:
            raise SaslError("the server accepted the login before its end")

    async def _first_of(self, mechanism: str, message: bytes | None) -> Reply:
        """Send AUTH with the client's first message, and return the reply."""
        command = f"AUTH {mechanism}"
        if message is None:
            return await self._auth(command)
        if len(command) + 1 + len(_base64(message)) <= LONGEST_COMMAND:
            return await self._secret_line(message, f"{command} ")
        reply = await self._auth(command)
        return await self._secret_line(message) if reply.code == CONTINUE else reply

    async def _secret_line(self, message: bytes | None, before: str = "") -> Reply:
        """Send a message of the client. If the reply quotes it, remove it from the reply, which operators can see."""
        secret = _base64(message or b"")
        reply = await self._auth(before + secret)
        return reply._replace(text=reply.text.replace(secret, "…")) if secret else reply

    async def _auth(self, line: str) -> Reply:
        return await self._send(SmtpCommand.AUTH, line)

    async def _command(self, command: SmtpCommand, line: str, expected: int) -> Reply:
        return _required(command, await self._send(command, line), expected)

    async def _expect(self, command: SmtpCommand, code: int) -> Reply:
        return _required(command, await self._next_reply(command), code)

    async def _send(self, command: SmtpCommand, line: str) -> Reply:
        self._raise_if_lost()
        self._reply = self._loop.create_future()
        self.connection.write(f"{line}\r\n".encode("ascii"))
        return await self._next_reply(command)

    async def _next_reply(self, command: SmtpCommand) -> Reply:
        try:
            async with asyncio.timeout(self._step_seconds):
                return await self._reply
        except TimeoutError:
            raise TimeoutError(f"{command}: the server did not reply in time") from None

    def reply_received(self, reply: Reply) -> None:
        """Complete the command that waits for the reply."""
        if not self._reply.done():
            self._reply.set_result(reply)
        elif reply.code == CLOSING:
            self.connection.abort(ConnectionResetError(str(reply)))
        else:
            self.connection.abort(ProtocolError("the server spoke out of turn"))

    def connection_lost(self, error: Exception) -> None:
        """Fail the command that waits for a reply."""
        self._lost_by = error
        if not self._reply.done():
            self._reply.set_exception(error)
            self._reply.exception()  # marks it as retrieved: asyncio would log an exception that no command awaits


def _required(command: SmtpCommand, reply: Reply, code: int) -> Reply:
    if reply.code != code:
        raise RefusedError(command, reply)
    return reply


def _base64(message: bytes) -> str:
    return b64encode(message).decode("ascii")


def _smtp_provider(url: ProviderUrl, context: DeliveryContext) -> SmtpProvider:
    options = url.options("tls", "ca", *LOGIN_OPTIONS)
    match options.get("tls", "starttls"):
        case "starttls":
            return _provider(url, options, Tls.STARTTLS, context)
        case "none":
            return _provider(url, options, Tls.NONE, context)
        case _:
            raise ValueError("has a smtp URL whose tls is neither starttls nor none")


def _smtps_provider(url: ProviderUrl, context: DeliveryContext) -> SmtpProvider:
    return _provider(url, url.options("ca", *LOGIN_OPTIONS), Tls.IMPLICIT, context)


def _provider(url: ProviderUrl, options: Mapping[str, str], tls: Tls, context: DeliveryContext) -> SmtpProvider:
    if url.path.strip("/"):
        raise ValueError(f"has a {url.scheme} URL with a path")
    host, port = url.host(), url.port or (SUBMISSIONS_PORT if tls is Tls.IMPLICIT else SUBMISSION_PORT)
    name = context.name(f"{url.scheme}:{host_and_port(host, port)}")
    server = Server(
        name=name,
        host=host,
        port=port,
        tls=tls,
        login=login_from(url, options, name),
        ssl_context=None if tls is Tls.NONE else ssl_context(options.get("ca")),
        timeout=context.timeout.total_seconds(),
    )
    return SmtpProvider(server, context.sender, context.bounces)


SMTP = ProviderScheme(frozenset({Channel.EMAIL}), _smtp_provider)
SMTPS = ProviderScheme(frozenset({Channel.EMAIL}), _smtps_provider)
