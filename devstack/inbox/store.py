"""Store each received message in a file, so that messages survive a restart."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from email.policy import SMTPUTF8
from functools import cached_property
from pathlib import Path
from threading import Lock
from uuid import UUID

from devstack.inbox.reading import Reading, read_email, read_sms
from shared.ids import uuid7
from shared.vocabulary import Channel

SUFFIXES = {Channel.EMAIL: ".eml", Channel.SMS: ".json"}
ENVELOPE_RECIPIENT = "Delivered-To"


@dataclass(frozen=True)
class Arrival:
    """A received message. Its id contains the time, so ids sort by arrival."""

    id: str
    channel: Channel
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)

    @property
    def received_at(self) -> datetime:
        """The time in the id."""
        milliseconds = UUID(self.id).int >> 80
        return datetime.fromtimestamp(milliseconds / 1000, UTC)

    @cached_property
    def reading(self) -> Reading:
        """The parsed message."""
        match self.channel:
            case Channel.EMAIL:
                return read_email(self.content)
            case Channel.SMS:
                return read_sms(self.content)


@dataclass(frozen=True)
class Sms:
    """An SMS as received by the gateway, with the key that identifies repetitions."""

    to: str
    text: str
    id: str | None
    idempotency_key: str | None


class Store:
    """All received messages, in memory and in a folder. Both servers use it from their own threads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = Lock()
        self._arrivals = {arrival.id: arrival for arrival in sorted(_stored_in(folder), key=lambda arrival: arrival.id)}
        self._by_key = {key: arrival for arrival in self._arrivals.values() if (key := _idempotency_key(arrival))}

    def store_email(self, sender: str, recipients: Iterable[str], content: bytes) -> Arrival:
        """Store a mail after the lines of its envelope, as a server does at final delivery (RFC 5321 §4.4)."""
        recipients = tuple(recipients)
        envelope = [("Return-Path", f"<{sender}>"), *((ENVELOPE_RECIPIENT, recipient) for recipient in recipients)]
        lines = "".join(f"{name}: {value}\r\n" for name, value in envelope)
        mail = lines.encode("utf-8", "surrogateescape") + content
        with self._lock:
            return self._store(Arrival(str(uuid7()), Channel.EMAIL, recipients, mail))

    def store_sms(self, sms: Sms) -> Arrival:
        """Store an SMS, or return the earlier one with the same idempotency key."""
        with self._lock:
            known = self._by_key.get(sms.idempotency_key or "")
            if known:
                return known
            arrival = self._store(Arrival(str(uuid7()), Channel.SMS, (sms.to,), json.dumps(vars(sms)).encode()))
            if sms.idempotency_key:
                self._by_key[sms.idempotency_key] = arrival
            return arrival

    def newest_first(self, recipient: str | None = None) -> list[Arrival]:
        """Return messages, for one recipient or for all. Addresses are compared without case."""
        with self._lock:
            arrivals = list(reversed(self._arrivals.values()))
        if recipient is None:
            return arrivals
        wanted = recipient.lower()
        return [arrival for arrival in arrivals if wanted in (address.lower() for address in arrival.recipients)]

    def get(self, arrival_id: str) -> Arrival | None:
        """Return the message with that id, if there is one."""
        return self._arrivals.get(arrival_id)

    def _store(self, arrival: Arrival) -> Arrival:
        path = self._folder / f"{arrival.id}{SUFFIXES[arrival.channel]}"
        draft = path.with_suffix(".draft")
        draft.write_bytes(arrival.content)
        draft.rename(path)  # so that a file with a message's suffix is always whole
        self._arrivals[arrival.id] = arrival
        return arrival


def _stored_in(folder: Path) -> Iterable[Arrival]:
    for path in folder.glob(f"*{SUFFIXES[Channel.EMAIL]}"):
        mail = path.read_bytes()
        headers = BytesHeaderParser(policy=SMTPUTF8).parsebytes(mail)
        yield Arrival(path.stem, Channel.EMAIL, tuple(map(str, headers.get_all(ENVELOPE_RECIPIENT, []))), mail)
    for path in folder.glob(f"*{SUFFIXES[Channel.SMS]}"):
        content = path.read_bytes()
        yield Arrival(path.stem, Channel.SMS, (json.loads(content)["to"],), content)


def _idempotency_key(arrival: Arrival) -> str | None:
    if arrival.channel is not Channel.SMS:
        return None
    key: str | None = json.loads(arrival.content)["idempotency_key"]
    return key
