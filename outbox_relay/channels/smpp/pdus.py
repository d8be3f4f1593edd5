"""SMPP 3.4 PDUs: those that we send, written by smpplib, and the little that we read of the SMSC's.

Answers are read here and not by smpplib: its parser raises KeyError at optional parameters that it does not
expect, and an SMSC may add any to any answer (SMPP 3.4 §3.2.4).
"""

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from smpplib import smpp

from outbox_relay.model import RenderedMessage
from outbox_relay.segments import Alphabet, alphabet_of, encoded, segments_in

HEADER = struct.Struct(">IIII")
LONGEST_PDU = 64 * 1024
RESPONSE = 0x80000000
LONGEST_NUMBER = 20
A_NAME = 5
"""The type of number of what is none (§5.2.5)."""
LONGEST_MESSAGE_ID = 64
LONGEST_SYSTEM_ID, LONGEST_PASSWORD = 15, 8
"""Octets; smpplib would cut longer ones off without a word (SMPP 3.4 §4.1.1)."""

_DATA_CODING = {Alphabet.GSM_7: 0, Alphabet.UCS_2: 8}


class Command(IntEnum):
    """The commands that we know; an answer's is its request's with ``RESPONSE`` added (§5.1.2.1)."""

    GENERIC_NACK = 0x80000000
    BIND_TRANSMITTER = 0x00000002
    SUBMIT_SM = 0x00000004
    UNBIND = 0x00000006
    ENQUIRE_LINK = 0x00000015


@dataclass(frozen=True, slots=True)
class Pdu:
    """What came from the SMSC."""

    command: int
    status: int
    sequence: int
    body: bytes

    @property
    def is_answer(self) -> bool:
        """Tell whether it answers something of ours."""
        return bool(self.command & RESPONSE)

    def is_to(self, command: Command) -> bool:
        """Tell whether it is the answer to such a request: its number alone does not say so (§3.3)."""
        return self.command == command | RESPONSE

    @property
    def message_id(self) -> str | None:
        """Return the SMSC's own name for a message (§4.4.2)."""
        return self.body.partition(b"\0")[0][:LONGEST_MESSAGE_ID].decode("ascii", errors="replace") or None


@dataclass(frozen=True)
class Address:
    """A number or a name, with the type of number and numbering plan that say how to read it (§5.2.5, §5.2.6)."""

    ton: int
    npi: int
    value: str = field(repr=False)

    @property
    def is_name(self) -> bool:
        """Whether it is no number; nobody can be sent anything there."""
        return self.ton == A_NAME


def address_of(text: str) -> Address:
    """Say how a sender or recipient is to be read: international, as it stands in its network, or a name."""
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()):
        return Address(A_NAME, 0, text)
    return Address(1 if text.startswith("+") else 0, 1, digits)


def bind(sequence: int, system_id: str, password: str) -> bytes:
    """Log in to submit, and not to receive: nothing of ours asks for receipts."""
    return _written("bind_transmitter", sequence, system_id=system_id, password=password)


def submission(sequence: int, sender: str, letter: RenderedMessage) -> bytes:
    """Submit a letter whole, so that it has one answer: what needs several segments, the SMSC cuts (§4.8.1)."""
    text = letter.content.decode()
    source, destination = address_of(sender), address_of(letter.message.recipient)
    place = "short_message" if segments_in(text) == 1 else "message_payload"
    return _written(
        "submit_sm",
        sequence,
        source_addr_ton=source.ton,
        source_addr_npi=source.npi,
        source_addr=source.value,
        dest_addr_ton=destination.ton,
        dest_addr_npi=destination.npi,
        destination_addr=destination.value,
        data_coding=_DATA_CODING[alphabet_of(text)],
        **{place: encoded(text)},
    )


def bare(command: int, sequence: int, status: int = 0) -> bytes:
    """Write a PDU that is only a header."""
    return HEADER.pack(HEADER.size, command, status, sequence)


def _written(name: str, sequence: int, **fields: Any) -> bytes:
    pdu = smpp.make_pdu(name, sequence=sequence, **fields)
    pdu.sequence = sequence  # smpplib takes it for one of the fields, and keeps its own
    content: bytes = pdu.generate()
    return content
