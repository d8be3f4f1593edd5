"""One bind (login) at an SMSC, the SMS server of a carrier.

Sends SMPP 3.4 PDUs, matches each response to its request, and keeps the connection alive. Section numbers are those of
SMPP 3.4 issue 1.2. An SMSC may add optional parameters to any response (§3.2.4), so responses are parsed only as far as
the relay needs them.
"""

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from typing import Self

from outbox_relay.channels.base import readable_certificate, timeout_with_grace
from outbox_relay.model import RenderedMessage
from outbox_relay.sms_segments import Alphabet, alphabet_of, encoded, segments_in

LONGEST_STEP_SECONDS = 10.0
UNBIND_SECONDS = 0.5
ENQUIRE_SECONDS = 30.0
"""How often to send enquire_link. Most SMSCs close connections that are silent for a minute or more."""

HEADER, OPTION = struct.Struct(">IIII"), struct.Struct(">HH")
LONGEST_PDU = 64 * 1024
RESPONSE = 0x80000000
LONGEST_NUMBER = 20
ALPHANUMERIC = 5
"""The type of number for a name (§5.2.5)."""
LONGEST_MESSAGE_ID = 64
LONGEST_VALIDITY_SECONDS = 30 * 86_400
"""More than any message lives, and within the two digits of the days."""
LONGEST_SYSTEM_ID, LONGEST_PASSWORD = 15, 8
"""Octets (§4.1.1)."""

MOST_DELIVERIES = 100
"""Messages from the SMSC that are handled at once; it has to send others again. Windows are usually shorter."""

INTERFACE_VERSION = 0x34
MESSAGE_PAYLOAD = 0x0424
"""The optional parameter for a text that does not fit into short_message (§5.3.2.32)."""

_DATA_CODING = {Alphabet.GSM_7: 0, Alphabet.UCS_2: 8}


class Status(IntEnum):
    """A command_status that a bind or a submit_sm may end with (§5.1.3)."""

    ESME_ROK = 0x00
    ESME_RINVMSGLEN = 0x01
    ESME_RINVCMDLEN = 0x02
    ESME_RINVCMDID = 0x03
    ESME_RINVBNDSTS = 0x04
    ESME_RALYBND = 0x05
    ESME_RSYSERR = 0x08
    ESME_RINVSRCADR = 0x0A
    ESME_RINVDSTADR = 0x0B
    ESME_RBINDFAIL = 0x0D
    ESME_RINVPASWD = 0x0E
    ESME_RINVSYSID = 0x0F
    ESME_RMSGQFUL = 0x14
    ESME_RINVSERTYP = 0x15
    ESME_RINVESMCLASS = 0x43
    ESME_RSUBMITFAIL = 0x45
    ESME_RINVSRCTON = 0x48
    ESME_RINVSRCNPI = 0x49
    ESME_RINVDSTTON = 0x50
    ESME_RINVDSTNPI = 0x51
    ESME_RINVSYSTYP = 0x53
    ESME_RTHROTTLED = 0x58
    ESME_RINVEXPIRY = 0x62
    ESME_RX_T_APPN = 0x64
    ESME_RX_P_APPN = 0x65
    ESME_RX_R_APPN = 0x66
    ESME_RINVOPTPARSTREAM = 0xC0
    ESME_ROPTPARNOTALLWD = 0xC1
    ESME_RINVPARLEN = 0xC2
    ESME_RMISSINGOPTPARAM = 0xC3
    ESME_RINVOPTPARAMVAL = 0xC4
    ESME_RDELIVERYFAILURE = 0xFE
    ESME_RUNKNOWNERR = 0xFF


class Command(IntEnum):
    """The commands in use. A response's command is its request's plus ``RESPONSE`` (§5.1.2.1)."""

    GENERIC_NACK = 0x80000000
    BIND_RECEIVER = 0x00000001
    BIND_TRANSMITTER = 0x00000002
    SUBMIT_SM = 0x00000004
    DELIVER_SM = 0x00000005
    UNBIND = 0x00000006
    BIND_TRANSCEIVER = 0x00000009
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
        """Return whether it is a response to this kind of request.

        The sequence number alone does not prove this (§3.3).
        """
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
    def octets(self) -> bytes:
        """The three fields of a request."""
        return bytes([self.ton, self.npi]) + _c_string(self.value)

    @property
    def is_name(self) -> bool:
        """Whether it is a name, which cannot be a recipient."""
        return self.ton == ALPHANUMERIC


def address_of(text: str) -> Address:
    """Return an address as an international number, a number that only the carrier's network knows, or a name."""
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()):
        return Address(ALPHANUMERIC, 0, text)
    return Address(1 if text.startswith("+") else 0, 1, digits)


def submit_sm(sequence: int, sender: str, rendered: RenderedMessage, *, wants_receipt: bool = False) -> bytes:
    """Build a submit_sm with the whole message, so that it has one response: the SMSC splits long ones (§4.4.1)."""
    text = rendered.content.decode()
    octets = encoded(text)
    is_short = segments_in(text) == 1
    fields = (
        _c_string(""),  # service_type
        address_of(sender).octets,
        address_of(rendered.message.recipient).octets,
        bytes(3),  # esm_class, protocol_id, priority_flag
        _c_string(""),  # schedule_delivery_time
        _c_string(validity_period(rendered.valid_seconds)),
        # registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id
        bytes([wants_receipt, 0, _DATA_CODING[alphabet_of(text)], 0]),
        bytes([len(octets)]) + octets if is_short else bytes([0]) + OPTION.pack(MESSAGE_PAYLOAD, len(octets)) + octets,
    )
    return _pdu(Command.SUBMIT_SM, sequence, b"".join(fields))


def validity_period(seconds: int | None) -> str:
    """Return how long the SMSC may try to deliver (§5.2.16); empty for its default.

    In the relative format (§7.1.1), so that the clocks of relay and SMSC do not matter.
    """
    if seconds is None:
        return ""
    minutes, second = divmod(min(seconds, LONGEST_VALIDITY_SECONDS), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"0000{days:02}{hour:02}{minute:02}{second:02}000R"


def bind(command: Command, sequence: int, system_id: str, password: str) -> bytes:
    """Build a bind (§4.1.1, §4.1.3, §4.1.5), without system_type, TON, NPI and address_range."""
    credentials = _c_string(system_id) + _c_string(password) + _c_string("")
    return _pdu(command, sequence, credentials + bytes([INTERFACE_VERSION, 0, 0]) + _c_string(""))


def status_name(status: int) -> str:
    """Return a command_status as operators look it up."""
    name = Status(status).name if status in list(Status) else "SMSC error"
    return f"{name} (0x{status:08X})"


def _c_string(text: str) -> bytes:
    return text.encode() + b"\0"


def _pdu(command: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    return HEADER.pack(HEADER.size + len(body), command, status, sequence) + body


TakeDelivery = Callable[[bytes], Awaitable[Status]]
"""Handles the body of a deliver_sm, and returns the status of the response."""


@dataclass(frozen=True)
class Smsc:
    """Where and how to bind. ``name`` is what operators see.

    ``timeout`` is the limit for one message, in seconds. Other steps have the limit ``step_seconds``, which is never
    longer. ``take_delivery`` handles messages from the SMSC; without it, the relay binds as a transmitter only.
    """

    name: str
    host: str
    port: int
    ssl_context: ssl.SSLContext | None
    system_id: str
    password: str = field(repr=False)
    timeout: float
    enquire_seconds: float = ENQUIRE_SECONDS
    take_delivery: TakeDelivery | None = None

    @property
    def step_seconds(self) -> float:
        """How long to wait for anything but a message, in seconds."""
        return min(self.timeout, LONGEST_STEP_SECONDS)


class RefusedError(ConnectionError):
    """The SMSC refuses the bind. ``status`` is its command_status."""

    def __init__(self, text: str, status: int = Status.ESME_RUNKNOWNERR) -> None:
        super().__init__(text)
        self.status = status


class SmppConnection:
    """Matches responses to requests by their sequence number, and responds to the SMSC's own requests."""

    def __init__(self, smsc: Smsc, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_open = True
        self._smsc = smsc
        self._reader = reader
        self._writer = writer
        self._sequence = count(1)
        self._pending: dict[int, asyncio.Future[Pdu]] = {}
        self._deliveries = set[asyncio.Task[None]]()
        self._tasks = [asyncio.create_task(self._read())]

    @classmethod
    async def open(cls, smsc: Smsc, role: Command = Command.BIND_TRANSMITTER) -> Self:
        """Connect and bind, by default as a transmitter.

        Raises OSError, also if the SMSC refuses or does not respond in time.
        """
        async with asyncio.timeout(smsc.step_seconds):
            with readable_certificate():
                reader, writer = await asyncio.open_connection(smsc.host, smsc.port, ssl=smsc.ssl_context)
        connection = cls(smsc, reader, writer)
        try:
            await connection._bind(role)
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
        await asyncio.gather(*self._tasks, *self._deliveries, return_exceptions=True)

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
                # Marks the exception as retrieved: if the request was cancelled, no task awaits it, and asyncio would
                # log it.
                response.exception()
        self._pending.clear()

    async def _bind(self, role: Command) -> None:
        sequence = self.next_sequence()
        pdu = bind(role, sequence, self._smsc.system_id, self._smsc.password)
        async with timeout_with_grace(self._smsc.step_seconds):
            response = await self.request(sequence, pdu)
        if response.status != Status.ESME_ROK:
            raise RefusedError(f"bind: {status_name(response.status)}", response.status)
        if not response.is_response_to(role):
            raise RefusedError(f"bind: the reply is {response.command:#010x}")
        if not self.is_open:  # data that followed the response has already ended the connection
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
        return await self.request(sequence, _pdu(command, sequence))

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
            self._writer.write(_pdu(pdu.command | RESPONSE, pdu.sequence))
        elif pdu.command == Command.UNBIND:
            self._writer.write(_pdu(pdu.command | RESPONSE, pdu.sequence))
            self.abort(ConnectionResetError("the SMSC has unbound us"))
        elif pdu.command == Command.DELIVER_SM and self._smsc.take_delivery:
            self._start_delivery(pdu, self._smsc.take_delivery)
        else:
            self._writer.write(_pdu(Command.GENERIC_NACK, pdu.sequence, status=Status.ESME_RINVCMDID))

    def _start_delivery(self, pdu: Pdu, take: TakeDelivery) -> None:
        """Handle a message from the SMSC in a task: responses to our own requests must not wait for the database."""
        if len(self._deliveries) >= MOST_DELIVERIES:
            self._respond(pdu, Status.ESME_RMSGQFUL)
            return
        task = asyncio.create_task(self._deliver(pdu, take))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, pdu: Pdu, take: TakeDelivery) -> None:
        status = await take(pdu.body)
        if self.is_open:
            self._respond(pdu, status)

    def _respond(self, pdu: Pdu, status: Status) -> None:
        """Respond to a deliver_sm. The message_id in its response is not used (§4.6.2)."""
        self._writer.write(_pdu(pdu.command | RESPONSE, pdu.sequence, b"\0", status))
