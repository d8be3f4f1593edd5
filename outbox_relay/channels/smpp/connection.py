"""One bind at an SMSC: PDUs of SMPP 3.4, requests out, the response to each back, and kept alive in between.

smpplib writes the requests. Responses are parsed here: smpplib's parser raises KeyError for optional parameters that it
does not expect, and an SMSC may add any to any response (§3.2.4).
"""

import asyncio
import ssl
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from typing import Any, Self

from smpplib import consts, smpp

from outbox_relay.channels.base import readable_certificate, timeout_with_grace
from outbox_relay.model import RenderedMessage
from outbox_relay.sms_segments import Alphabet, alphabet_of, encoded, segments_in
from shared.urls import host_and_port

LONGEST_STEP_SECONDS = 10.0
UNBIND_SECONDS = 0.5
ENQUIRE_SECONDS = 30.0
"""How often to send enquire_link. Most SMSCs close connections that are silent for a minute or more."""

HEADER = struct.Struct(">IIII")
LONGEST_PDU = 64 * 1024
RESPONSE = 0x80000000
LONGEST_NUMBER = 20
ALPHANUMERIC = 5
"""The type of number for a name (§5.2.5)."""
LONGEST_MESSAGE_ID = 64
LONGEST_SYSTEM_ID, LONGEST_PASSWORD = 15, 8
"""Octets (§4.1.1). smpplib would silently cut off longer ones."""

OK: int = consts.SMPP_ESME_ROK
INVALID_COMMAND: int = consts.SMPP_ESME_RINVCMDID

_DATA_CODING = {Alphabet.GSM_7: 0, Alphabet.UCS_2: 8}
_STATUS_NAMES: dict[int, str] = {
    value: name.removeprefix("SMPP_") for name, value in vars(consts).items() if name.startswith("SMPP_ESME_")
}


class Command(IntEnum):
    """The commands in use. A response's command is its request's plus ``RESPONSE`` (§5.1.2.1)."""

    GENERIC_NACK = 0x80000000
    BIND_TRANSMITTER = 0x00000002
    SUBMIT_SM = 0x00000004
    UNBIND = 0x00000006
    ENQUIRE_LINK = 0x00000015


@dataclass(frozen=True, slots=True)
class Pdu:
    """A PDU from the SMSC."""

    command: int
    status: int
    sequence: int
    body: bytes

    @property
    def is_response(self) -> bool:
        """Whether it responds to one of our requests."""
        return bool(self.command & RESPONSE)

    def is_response_to(self, command: Command) -> bool:
        """Return whether it responds to such a request: its sequence number alone does not show that (§3.3)."""
        return self.command == command | RESPONSE

    @property
    def message_id(self) -> str | None:
        """The SMSC's id of the message (§4.4.2)."""
        return self.body.partition(b"\0")[0][:LONGEST_MESSAGE_ID].decode("ascii", errors="replace") or None


@dataclass(frozen=True)
class Address:
    """A number or a name, with its type of number and numbering plan (§5.2.5, §5.2.6)."""

    ton: int
    npi: int
    value: str = field(repr=False)

    @property
    def is_name(self) -> bool:
        """Whether it is a name, which cannot be a recipient."""
        return self.ton == ALPHANUMERIC


def address_of(text: str) -> Address:
    """Return a sender or recipient as an international number, a number of the network's own, or a name."""
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()):
        return Address(ALPHANUMERIC, 0, text)
    return Address(1 if text.startswith("+") else 0, 1, digits)


def submit_sm(sequence: int, sender: str, rendered: RenderedMessage) -> bytes:
    """Build a submit_sm with the whole message, so that it has one response: the SMSC splits long ones (§4.8.1)."""
    text = rendered.content.decode()
    source, destination = address_of(sender), address_of(rendered.message.recipient)
    parameter = "short_message" if segments_in(text) == 1 else "message_payload"
    return _request(
        "submit_sm",
        sequence,
        source_addr_ton=source.ton,
        source_addr_npi=source.npi,
        source_addr=source.value,
        dest_addr_ton=destination.ton,
        dest_addr_npi=destination.npi,
        destination_addr=destination.value,
        data_coding=_DATA_CODING[alphabet_of(text)],
        **{parameter: encoded(text)},
    )


def status_name(status: int) -> str:
    """Return a command_status as operators look it up."""
    return f"{_STATUS_NAMES.get(status, 'SMSC error')} (0x{status:08X})"


def _request(name: str, sequence: int, **fields: Any) -> bytes:
    pdu = smpp.make_pdu(name, sequence=sequence, **fields)
    pdu.sequence = sequence  # smpplib treats the argument as a field and keeps its own number
    content: bytes = pdu.generate()
    return content


def _header_only(command: int, sequence: int, status: int = 0) -> bytes:
    return HEADER.pack(HEADER.size, command, status, sequence)


@dataclass(frozen=True)
class Smsc:
    """Where and how to bind. ``timeout`` is in seconds, for each message, and at most for each other step."""

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
        return f"smpp:{host_and_port(self.host, self.port)}"

    @property
    def step_seconds(self) -> float:
        """How long to wait for anything but a message, in seconds."""
        return min(self.timeout, LONGEST_STEP_SECONDS)


class RefusedError(ConnectionError):
    """The SMSC refuses the bind."""


class SmppConnection:
    """Matches responses to requests by their sequence number, and responds to the SMSC's own requests."""

    def __init__(self, smsc: Smsc, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_open = True
        self._smsc = smsc
        self._reader = reader
        self._writer = writer
        self._sequence = count(1)
        self._pending: dict[int, asyncio.Future[Pdu]] = {}
        self._tasks = [asyncio.create_task(self._read())]

    @classmethod
    async def open(cls, smsc: Smsc) -> Self:
        """Connect and bind. Raises OSError, also if the SMSC refuses or does not respond in time."""
        async with asyncio.timeout(smsc.step_seconds):
            with readable_certificate():
                reader, writer = await asyncio.open_connection(smsc.host, smsc.port, ssl=smsc.ssl_context)
        connection = cls(smsc, reader, writer)
        try:
            await connection._bind()
        except BaseException:
            connection.abort(ConnectionAbortedError("the relay broke off"))
            raise
        return connection

    def next_sequence(self) -> int:
        """Return the sequence number for the next request."""
        return next(self._sequence)

    def request(self, sequence: int, pdu: bytes) -> asyncio.Future[Pdu]:
        """Write a request and return a future of its response. Raises ConnectionError if the connection is closed."""
        if not self.is_open:
            raise ConnectionResetError("the SMSC closed the connection")
        self._writer.write(pdu)
        response = asyncio.get_running_loop().create_future()
        self._pending[sequence] = response
        return response

    async def close(self) -> None:
        """Unbind and close, without waiting for long."""
        try:
            async with asyncio.timeout(min(UNBIND_SECONDS, self._smsc.timeout)):
                await self._request_without_body(Command.UNBIND)
        except OSError:
            pass
        finally:
            self.abort(ConnectionAbortedError("closed by the relay"))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def abort(self, error: OSError) -> None:
        """End the connection at once, and fail all requests without a response."""
        if not self.is_open:
            return
        self.is_open = False
        self._writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        for response in self._pending.values():
            if not response.done():
                response.set_exception(error)
                response.exception()  # marks it as retrieved, since the request may have been cancelled
        self._pending.clear()

    async def _bind(self) -> None:
        sequence = self.next_sequence()
        # A transmitter only submits: the relay uses no delivery receipts.
        pdu = _request("bind_transmitter", sequence, system_id=self._smsc.system_id, password=self._smsc.password)
        async with timeout_with_grace(self._smsc.step_seconds):
            response = await self.request(sequence, pdu)
        if response.status != OK:
            raise RefusedError(f"bind: {status_name(response.status)}")
        if not response.is_response_to(Command.BIND_TRANSMITTER):
            raise RefusedError(f"bind: answered by {response.command:#010x}")
        if not self.is_open:  # what came right behind the response has ended the connection
            raise ConnectionResetError("the SMSC closed the connection")
        self._tasks.append(asyncio.create_task(self._keep_alive()))

    async def _keep_alive(self) -> None:
        while self.is_open:
            await asyncio.sleep(self._smsc.enquire_seconds)
            try:
                async with timeout_with_grace(self._smsc.step_seconds):
                    await self._request_without_body(Command.ENQUIRE_LINK)
            except OSError as error:
                self.abort(error)

    async def _request_without_body(self, command: Command) -> Pdu:
        sequence = self.next_sequence()
        return await self.request(sequence, _header_only(command, sequence))

    async def _read(self) -> None:
        try:
            while self.is_open:
                self._handle(await self._next_pdu())
        except (OSError, EOFError) as error:
            self.abort(ConnectionResetError(str(error) or "the SMSC closed the connection"))

    async def _next_pdu(self) -> Pdu:
        length, command, status, sequence = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        if not HEADER.size <= length <= LONGEST_PDU:
            raise ConnectionAbortedError("the SMSC does not speak SMPP")
        return Pdu(command, status, sequence, await self._reader.readexactly(length - HEADER.size))

    def _handle(self, pdu: Pdu) -> None:
        if pdu.is_response:
            response = self._pending.pop(pdu.sequence, None)
            if response is not None and not response.done():
                response.set_result(pdu)
        elif pdu.command == Command.ENQUIRE_LINK:
            self._writer.write(_header_only(pdu.command | RESPONSE, pdu.sequence))
        elif pdu.command == Command.UNBIND:
            self._writer.write(_header_only(pdu.command | RESPONSE, pdu.sequence))
            self.abort(ConnectionResetError("the SMSC has unbound us"))
        else:
            self._writer.write(_header_only(Command.GENERIC_NACK, pdu.sequence, INVALID_COMMAND))
