"""One bind at an SMSC: requests out, the answer of each back, and kept alive in between."""

import asyncio
import ssl
from dataclasses import dataclass, field
from itertools import count
from typing import Self

from outbox_relay.channels.certificates import readable_certificate
from outbox_relay.channels.hearing import heard_within
from outbox_relay.channels.smpp.pdus import HEADER, LONGEST_PDU, RESPONSE, Command, Pdu, bare, bind
from outbox_relay.channels.smpp.statuses import INVALID_COMMAND, OK, status_name
from shared.urls import place

LONGEST_STEP_SECONDS = 10.0
GOOD_BYE_SECONDS = 0.5
ENQUIRE_SECONDS = 30.0
"""How often to ask whether the SMSC is still there; most hang up on those who are silent for a minute or more."""


@dataclass(frozen=True)
class Smsc:
    """Where to bind and how; ``timeout`` is in seconds, for each letter and at most for each step."""

    host: str
    port: int
    ssl_context: ssl.SSLContext | None
    system_id: str
    password: str = field(repr=False)
    timeout: float
    enquire_seconds: float = ENQUIRE_SECONDS

    @property
    def name(self) -> str:
        """``smpp:host:port``."""
        return f"smpp:{place(self.host, self.port)}"

    @property
    def longest_step(self) -> float:
        """How long to wait for what is not a letter, in seconds."""
        return min(self.timeout, LONGEST_STEP_SECONDS)


class RefusedError(ConnectionError):
    """The SMSC will not have us."""


class SmppConnection:
    """Matches answers to requests by their number; what the SMSC asks by itself is answered on the way."""

    def __init__(self, smsc: Smsc, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_open = True
        self._smsc = smsc
        self._reader = reader
        self._writer = writer
        self._numbers = count(1)
        self._awaited: dict[int, asyncio.Future[Pdu]] = {}
        self._tasks = [asyncio.create_task(self._read())]

    @classmethod
    async def open(cls, smsc: Smsc) -> Self:
        """Connect and bind; raises OSError, also if the SMSC refuses or does not answer in time."""
        async with asyncio.timeout(smsc.longest_step):
            with readable_certificate():
                reader, writer = await asyncio.open_connection(smsc.host, smsc.port, ssl=smsc.ssl_context)
        connection = cls(smsc, reader, writer)
        try:
            await connection._bind()
        except BaseException:
            connection.abort(ConnectionAbortedError("the relay broke off"))
            raise
        return connection

    def next_number(self) -> int:
        """Return the number of the next request."""
        return next(self._numbers)

    def request(self, number: int, pdu: bytes) -> asyncio.Future[Pdu]:
        """Write a request, and return its answer to come; raises ConnectionError if nothing could be written."""
        if not self.is_open:
            raise ConnectionResetError("the SMSC closed the connection")
        self._writer.write(pdu)
        answer = asyncio.get_running_loop().create_future()
        self._awaited[number] = answer
        return answer

    async def close(self) -> None:
        """Unbind and close, without waiting for long."""
        try:
            async with asyncio.timeout(min(GOOD_BYE_SECONDS, self._smsc.timeout)):
                await self._ask(Command.UNBIND)
        except OSError:
            pass
        finally:
            self.abort(ConnectionAbortedError("closed by the relay"))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def abort(self, error: OSError) -> None:
        """End the connection at once; whoever waits for an answer gets the error."""
        if not self.is_open:
            return
        self.is_open = False
        self._writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        for answer in self._awaited.values():
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # nobody may be waiting for it any more
        self._awaited.clear()

    async def _bind(self) -> None:
        number = self.next_number()
        async with heard_within(self._smsc.longest_step):
            answer = await self.request(number, bind(number, self._smsc.system_id, self._smsc.password))
        if answer.status != OK:
            raise RefusedError(f"bind: {status_name(answer.status)}")
        if not answer.is_to(Command.BIND_TRANSMITTER):
            raise RefusedError(f"bind: answered by {answer.command:#010x}")
        if not self.is_open:  # what came right behind the answer has ended it
            raise ConnectionResetError("the SMSC closed the connection")
        self._tasks.append(asyncio.create_task(self._keep_alive()))

    async def _keep_alive(self) -> None:
        while self.is_open:
            await asyncio.sleep(self._smsc.enquire_seconds)
            try:
                async with heard_within(self._smsc.longest_step):
                    await self._ask(Command.ENQUIRE_LINK)
            except OSError as error:
                self.abort(error)

    async def _ask(self, command: Command) -> Pdu:
        number = self.next_number()
        return await self.request(number, bare(command, number))

    async def _read(self) -> None:
        try:
            while self.is_open:
                self._heard(await self._next())
        except (OSError, EOFError) as error:
            self.abort(ConnectionResetError(str(error) or "the SMSC closed the connection"))

    async def _next(self) -> Pdu:
        length, command, status, number = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        if not HEADER.size <= length <= LONGEST_PDU:
            raise ConnectionAbortedError("the SMSC does not speak SMPP")
        return Pdu(command, status, number, await self._reader.readexactly(length - HEADER.size))

    def _heard(self, pdu: Pdu) -> None:
        if pdu.is_answer:
            self._answered(pdu)
        elif pdu.command == Command.ENQUIRE_LINK:
            self._writer.write(bare(pdu.command | RESPONSE, pdu.sequence))
        elif pdu.command == Command.UNBIND:
            self._writer.write(bare(pdu.command | RESPONSE, pdu.sequence))
            self.abort(ConnectionResetError("the SMSC has unbound us"))
        else:
            self._writer.write(bare(Command.GENERIC_NACK, pdu.sequence, INVALID_COMMAND))

    def _answered(self, pdu: Pdu) -> None:
        answer = self._awaited.pop(pdu.sequence, None)
        if answer is not None and not answer.done():
            answer.set_result(pdu)
