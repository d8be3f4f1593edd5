"""An SMTP server on a real socket that follows its script and checks its clients strictly."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from tests.support.listening import connections_completed
from tests.support.smtp_script import End, Moment, Script


class SmtpServer:
    """Records the traffic. ``faults`` lists protocol violations, ``in_clear`` every unencrypted byte.

    ``messages`` holds accepted messages, ``submitted`` every complete one.
    """

    def __init__(
        self, script: Script | None = None, talk: "Callable[[SmtpServer], Conversation] | None" = None
    ) -> None:
        self.script = script or Script()
        self.messages: list[tuple[str, bytes]] = []
        self.submitted: list[bytes] = []
        self.commands: list[str] = []
        self.faults: list[str] = []
        self.in_clear = bytearray()
        self.connections = 0
        self.reached = {moment: asyncio.Event() for moment in Moment}
        self._talk = talk or Conversation
        self._conversations: dict[Conversation, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: self._talk(self), "127.0.0.1", 0)
        self.port: int = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        await connections_completed()
        while self._conversations:
            await self.drop_connections()

    def begin(self, conversation: "Conversation") -> None:
        self.connections += 1
        self._conversations[conversation] = asyncio.create_task(conversation.run())

    async def drop_connections(self) -> None:
        """Close the open connections, and return once they have ended. Later ones stay open."""
        dropped, self._conversations = self._conversations, {}
        for conversation in dropped:
            conversation.hang_up()
        await asyncio.gather(*dropped.values())
        await connections_completed()


class Conversation(asyncio.Protocol):
    """One connection, command by command."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._script = server.script
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._has_news = asyncio.Event()
        self._is_over = False
        self._is_encrypted = server.script.is_encrypted
        self._has_sender = False
        self._takes_utf8 = False
        self._recipient: str | None = None
        self._commands = {
            "EHLO": self._hello,
            "STARTTLS": self._start_tls,
            "AUTH": self._log_in,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._reset,
            "QUIT": self._quit,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.begin(self)

    def data_received(self, data: bytes) -> None:
        if not self._is_encrypted:
            self._server.in_clear += data
        self._buffer += data
        self._has_news.set()

    def connection_lost(self, _error: Exception | None) -> None:
        self._is_over = True
        self._has_news.set()

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def run(self) -> None:
        try:
            if self._script.is_encrypted:
                await self._encrypt()
            await self._converse()
        except (EOFError, OSError):
            self.hang_up()

    async def _converse(self) -> None:
        await self._answer(Moment.CONNECT, b"220 test ESMTP")
        while True:
            line = (await self._until(b"\r\n")).decode()
            self._server.commands.append(line)
            if self._buffer and "PIPELINING" not in self._script.offers and not line.startswith("DATA"):
                self._server.faults.append(f"more came behind {line} without PIPELINING")
            await self._obey(line)

    async def _obey(self, line: str) -> None:
        await self._commands[line.partition(" ")[0]](line)

    async def _hello(self, _line: str) -> None:
        lines = ["250-test", *(f"250-{offer}" for offer in self._script.offers), "250 HELP"]
        await self._answer(Moment.EHLO, "\r\n".join(lines).encode())

    async def _start_tls(self, _line: str) -> None:
        await self._answer(Moment.STARTTLS, b"220 go ahead")
        await self._answer(Moment.HANDSHAKE, b"")
        await self._encrypt()

    async def _encrypt(self) -> None:
        assert self._script.tls is not None
        self._is_encrypted = True
        loop = asyncio.get_running_loop()
        assert self._transport is not None
        self._transport = await loop.start_tls(self._transport, self, self._script.tls, server_side=True)
        if self._transport is None:  # the client disconnected during the handshake
            raise EOFError

    async def _log_in(self, line: str) -> None:
        if line == "AUTH LOGIN":
            for question in (b"334 VXNlcm5hbWU6", b"334 UGFzc3dvcmQ6"):
                self._say(question)
                self._server.commands.append((await self._until(b"\r\n")).decode())
        if line.startswith("AUTH XOAUTH2") and not await self._has_token(line):
            self._say(b"535 5.7.8 authentication failed")
            return
        await self._answer(Moment.AUTH, b"235 2.7.0 Welcome")

    async def _has_token(self, line: str) -> bool:
        sent = line.removeprefix("AUTH XOAUTH2").strip()
        if not sent:
            self._say(b"334 ")
            sent = (await self._until(b"\r\n")).decode()
        token = b64decode(sent).decode().split("Bearer ")[1].rstrip("\1")
        if token in self._script.tokens:
            return True
        self._say(b"334 " + b64encode(b'{"status":"invalid_token"}'))
        if await self._until(b"\r\n"):
            self._server.faults.append("a response that is not empty to the reason of a refusal")
        return False

    async def _mail(self, line: str) -> None:
        self._takes_utf8 = line.endswith(" SMTPUTF8")
        if self._takes_utf8 and "SMTPUTF8" not in self._script.offers:
            self._server.faults.append("SMTPUTF8 without an offer of it")
        if self._has_sender:
            self._server.faults.append("MAIL within a transaction")
        if await self._answer(Moment.MAIL, b"250 2.1.0 Ok"):
            self._has_sender = True

    async def _rcpt(self, line: str) -> None:
        recipient = line.removeprefix("RCPT TO:<").removesuffix(">")
        if not (recipient.isascii() or self._takes_utf8):
            self._server.faults.append("an address beyond ASCII without SMTPUTF8")
        if not self._has_sender:
            self._say(b"503 5.5.1 need MAIL command")
        elif recipient in self._script.refused:
            self._say(self._script.refused[recipient])
        elif await self._answer(Moment.RCPT, b"250 2.1.5 Ok"):
            self._recipient = recipient

    async def _data(self, _line: str) -> None:
        if self._recipient is None and not self._script.asks_for_content_of_refused:
            self._say(b"554 5.5.1 no valid recipients")
            return
        if not await self._answer(Moment.DATA, b"354 go ahead"):
            return
        content = await self._content()
        self._server.submitted.append(content)
        recipient, _ = self._recipient, self._forget()
        if recipient is None:
            if content:
                self._server.faults.append("content for no recipient")
            self._say(b"554 5.5.1 no valid recipients")
        elif await self._answer(Moment.FINAL_DOT, b"250 2.0.0 Ok: queued as %d" % (len(self._server.messages) + 1)):
            self._server.messages.append((recipient, content))
            await self._answer(Moment.ACCEPTED, b"")

    async def _reset(self, _line: str) -> None:
        self._forget()
        await self._answer(Moment.RSET, b"250 2.0.0 Ok")

    async def _quit(self, _line: str) -> None:
        await self._answer(Moment.QUIT, b"221 2.0.0 Bye")
        raise EOFError

    async def _content(self) -> bytes:
        while not self._buffer:
            await self._read()
        await self._answer(Moment.CONTENT, b"")
        self._buffer[:0] = b"\r\n"  # a lone dot ends empty content, too
        return (await self._until(b"\r\n.\r\n") + b"\r\n")[2:]

    def _forget(self) -> None:
        self._has_sender = False
        self._recipient = None

    async def _answer(self, moment: Moment, usual: bytes) -> bool:
        """Send the scripted or usual reply, and return whether the reply's meaning is the usual one."""
        self._server.reached[moment].set()
        planned = self._script.instead.get(moment)
        match (next(planned, None) if isinstance(planned, Iterator) else planned) or usual:
            case End.CLOSE:
                raise EOFError
            case End.HANG:
                while True:
                    await self._read()  # until the client disconnects
            case bytes() as reply:
                self._say(reply)
                return reply[:1] == usual[:1]

    def _say(self, reply: bytes) -> None:
        if reply and self._transport is not None:
            self._transport.write(reply + b"\r\n")

    async def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            await self._read()
        found, _, rest = bytes(self._buffer).partition(end)
        self._buffer[:] = rest
        return found

    async def _read(self) -> None:
        if self._is_over:
            raise EOFError
        self._has_news.clear()
        await self._has_news.wait()
