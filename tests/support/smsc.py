"""An SMSC on a real socket: the part of SMPP 3.4 that a transmitter meets, written from the specification.

It uses no SMPP library, so the tested library does not check its own bytes.
"""

import asyncio
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Self

from tests.support.http_gateway import Silence
from tests.support.listening import listening

BIND_TRANSMITTER, SUBMIT_SM, DELIVER_SM, UNBIND, ENQUIRE_LINK = 0x02, 0x04, 0x05, 0x06, 0x15
RESPONSE, GENERIC_NACK = 0x80000000, 0x80000000
MESSAGE_PAYLOAD = 0x0424
BIND_FAILED, THROTTLED = 0x0D, 0x58

Reply = int | Silence | bytes
"""A command_status, a fault, or arbitrary bytes."""


@dataclass(frozen=True)
class Submitted:
    source: tuple[int, int, str]
    destination: tuple[int, int, str]
    data_coding: int
    short_message: bytes
    payload: bytes
    validity_period: str = ""


@dataclass
class Smsc:
    """Stores submitted messages. A test may change ``reply`` and ``bind_reply`` at any time."""

    reply: Reply = 0
    bind_reply: Reply = 0
    tls: ssl.SSLContext | None = None
    ignores_enquiries: bool = False
    submitted: list[Submitted] = field(default_factory=list)
    binds: list[tuple[str, str]] = field(default_factory=list)
    enquiries: int = 0
    heard: list[int] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.has_submission = asyncio.Event()
        self.has_enquiry = asyncio.Event()
        self.has_answer = asyncio.Event()
        self.is_unbound = asyncio.Event()
        self.peer: asyncio.StreamWriter | None = None
        self._ids = count(1)
        self._listening = listening(self._talk, self.tls)
        self.port = await self._listening.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._listening.__aexit__(kind, error, traceback)

    async def wait_for(self, event: asyncio.Event) -> None:
        """Wait for the event, and fail at the deadline."""
        async with asyncio.timeout(30):
            await event.wait()

    def ask(self, command: int, number: int = 77) -> None:
        """Send a request to the bound client."""
        assert self.peer
        self.peer.write(pdu(command, 0, number))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer = writer
        while True:
            length, command, _status, number = struct.unpack(">IIII", await reader.readexactly(16))
            body = await reader.readexactly(length - 16)
            await self._heard(command, number, body, reader)

    async def _heard(self, command: int, number: int, body: bytes, reader: asyncio.StreamReader) -> None:
        self.heard.append(command)
        if command & RESPONSE:
            self.has_answer.set()
        elif command == BIND_TRANSMITTER:
            system_id, password = (part.decode() for part in body.split(b"\0")[:2])
            self.binds.append((system_id, password))
            await self._answer(self.bind_reply, command, number, b"SMSC\0", reader)
        elif command == SUBMIT_SM:
            self.submitted.append(submitted(body))
            self.has_submission.set()
            await self._answer(self.reply, command, number, f"id-{next(self._ids)}\0".encode(), reader)
        elif command == ENQUIRE_LINK:
            self.enquiries += 1
            self.has_enquiry.set()
            if not self.ignores_enquiries:
                await self._answer(0, command, number, b"", reader)
        elif command == UNBIND:
            self.is_unbound.set()
            await self._answer(0, command, number, b"", reader)

    async def _answer(self, reply: Reply, command: int, number: int, body: bytes, reader: asyncio.StreamReader) -> None:
        assert self.peer
        match reply:
            case Silence.CLOSE:
                raise EOFError
            case Silence.HANG:
                await reader.read()  # until the client disconnects
                raise EOFError
            case bytes() as anything:
                self.peer.write(anything)
            case int() as status:
                # SMPP 3.4 §4.1.2, §4.4.2: an error response has no body.
                self.peer.write(pdu(command | RESPONSE, status, number, b"" if status else body))


def pdu(command: int, status: int, number: int, body: bytes = b"") -> bytes:
    return struct.pack(">IIII", 16 + len(body), command, status, number) + body


def submitted(body: bytes) -> Submitted:
    """Read a submit_sm (§4.4.1)."""
    octets = iter(body)
    text(octets)  # service_type
    source = (next(octets), next(octets), text(octets))
    destination = (next(octets), next(octets), text(octets))
    for _ in range(3):  # esm_class, protocol_id, priority_flag
        assert next(octets) == 0
    assert text(octets) == ""  # schedule_delivery_time
    validity_period = text(octets)
    assert (next(octets), next(octets)) == (0, 0)  # registered_delivery, replace_if_present_flag
    data_coding = next(octets)
    assert next(octets) == 0  # sm_default_msg_id
    short_message = bytes(next(octets) for _ in range(next(octets)))
    return Submitted(source, destination, data_coding, short_message, payload(bytes(octets)), validity_period)


def payload(optional: bytes) -> bytes:
    if not optional:
        return b""
    tag, length = struct.unpack(">HH", optional[:4])
    assert (tag, length) == (MESSAGE_PAYLOAD, len(optional) - 4)
    return optional[4:]


def text(octets: Iterator[int]) -> str:
    return bytes(iter(octets.__next__, 0)).decode("ascii")
