"""An SMSC on a real socket: the part of SMPP 3.4 that the relay meets, written from the specification.

It uses no SMPP library, so the tested library does not check its own bytes.
"""

import asyncio
import ssl
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Self

from tests.support.http_gateway import Silence
from tests.support.listening import listening

BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER = 0x01, 0x02, 0x09
SUBMIT_SM, DELIVER_SM, UNBIND, ENQUIRE_LINK = 0x04, 0x05, 0x06, 0x15
RESPONSE, GENERIC_NACK = 0x80000000, 0x80000000
MESSAGE_PAYLOAD, RECEIPTED_MESSAGE_ID, MESSAGE_STATE = 0x0424, 0x001E, 0x0427
UNKNOWN_COMMAND, BIND_FAILED, QUEUE_FULL, THROTTLED, TEMPORARY = 0x03, 0x0D, 0x14, 0x58, 0x64
RECEIPT = 0x04
"""The esm_class of a receipt."""

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
    registered_delivery: int = 0
    flags: bytes = bytes(3)
    """esm_class, protocol_id and priority_flag."""


@dataclass
class Smsc:
    """Stores submitted messages. A test may change ``reply`` and ``bind_reply`` at any time.

    ``refused_roles`` are statuses for binds by command, and ``id_of`` makes the id of a message from its number.
    """

    reply: Reply = 0
    bind_reply: Reply = 0
    tls: ssl.SSLContext | None = None
    ignores_enquiries: bool = False
    refused_roles: dict[int, int] = field(default_factory=dict)
    id_of: Callable[[int], str] = "id-{}".format
    submitted: list[Submitted] = field(default_factory=list)
    binds: list[tuple[str, str]] = field(default_factory=list)
    roles: list[int] = field(default_factory=list)
    enquiries: int = 0
    heard: list[int] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.has_submission = asyncio.Event()
        self.has_enquiry = asyncio.Event()
        self.has_answer = asyncio.Event()
        self.is_unbound = asyncio.Event()
        self.peer: asyncio.StreamWriter | None = None
        self.has_bind = asyncio.Event()
        self._ids = count(1)
        self._numbers = count(1000)
        self._listeners: list[asyncio.StreamWriter] = []
        self._deliveries: dict[int, asyncio.Future[int]] = {}
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

    def send(self, body: bytes) -> asyncio.Future[int]:
        """Send a deliver_sm to the client that was bound last for receipts; return the status of its response."""
        number = next(self._numbers)
        self._deliveries[number] = status = asyncio.get_running_loop().create_future()
        self._listeners[-1].write(pdu(DELIVER_SM, 0, number, body))
        return status

    async def deliver(self, body: bytes) -> int:
        """Send a deliver_sm, and return the status of the response."""
        async with asyncio.timeout(30):
            return await self.send(body)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer = writer
        while True:
            length, command, status, number = struct.unpack(">IIII", await reader.readexactly(16))
            body = await reader.readexactly(length - 16)
            delivery = self._deliveries.pop(number, None) if command == DELIVER_SM | RESPONSE else None
            if delivery and not delivery.done():  # a test may have stopped waiting
                delivery.set_result(status)
            self.peer = writer
            await self._heard(command, number, body, reader)

    async def _heard(self, command: int, number: int, body: bytes, reader: asyncio.StreamReader) -> None:
        self.heard.append(command)
        if command & RESPONSE:
            self.has_answer.set()
        elif command in (BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER):
            system_id, password = (part.decode() for part in body.split(b"\0")[:2])
            self.binds.append((system_id, password))
            self.roles.append(command)
            if command != BIND_TRANSMITTER and command not in self.refused_roles:
                assert self.peer
                self._listeners.append(self.peer)
            await self._answer(self.refused_roles.get(command, self.bind_reply), command, number, b"SMSC\0", reader)
            self.has_bind.set()
        elif command == SUBMIT_SM:
            self.submitted.append(submitted(body))
            self.has_submission.set()
            await self._answer(self.reply, command, number, f"{self.id_of(next(self._ids))}\0".encode(), reader)
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
    flags = bytes(next(octets) for _ in range(3))
    assert text(octets) == ""  # schedule_delivery_time
    validity_period = text(octets)
    registered_delivery = next(octets)
    assert next(octets) == 0  # replace_if_present_flag
    data_coding = next(octets)
    assert next(octets) == 0  # sm_default_msg_id
    short_message = bytes(next(octets) for _ in range(next(octets)))
    rest = payload(bytes(octets))
    return Submitted(source, destination, data_coding, short_message, rest, validity_period, registered_delivery, flags)


def deliver_sm(short_message: bytes, *, esm_class: int = RECEIPT, options: dict[int, bytes] | None = None) -> bytes:
    """Build the body of a deliver_sm (§4.6.1)."""
    addresses = b"\x01\x0133612345678\0" + b"\x05\x00Signpost\0"
    optional = b"".join(struct.pack(">HH", tag, len(value)) + value for tag, value in (options or {}).items())
    fields = b"\0" + addresses + bytes([esm_class, 0, 0]) + b"\0\0" + bytes(4)
    return fields + bytes([len(short_message)]) + short_message + optional


def receipt(message_id: str, state: str = "DELIVRD", error: str = "000", day: str = "261125") -> bytes:
    """Build a deliver_sm with a receipt as text (Appendix B)."""
    dates = f"submit date:{day}0102 done date:{day}0102"
    text_of_receipt = f"id:{message_id} sub:001 dlvrd:001 {dates} stat:{state} err:{error} text:Your code is 123456"
    return deliver_sm(text_of_receipt.encode())


def payload(optional: bytes) -> bytes:
    if not optional:
        return b""
    tag, length = struct.unpack(">HH", optional[:4])
    assert (tag, length) == (MESSAGE_PAYLOAD, len(optional) - 4)
    return optional[4:]


def text(octets: Iterator[int]) -> str:
    return bytes(iter(octets.__next__, 0)).decode("ascii")
