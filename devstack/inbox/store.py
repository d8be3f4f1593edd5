"""Keeping what arrives: a file for each message, so that everything is still there after a restart."""

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
    """A message as it came in. Its id carries the time, so that ids sort as the messages came."""

    id: str
    channel: Channel
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)

    @property
    def received_at(self) -> datetime:
        """The moment that the id carries."""
        milliseconds = UUID(self.id).int >> 80
        return datetime.fromtimestamp(milliseconds / 1000, UTC)

    @cached_property
    def reading(self) -> Reading:
        """The message as it would be read."""
        match self.channel:
            case Channel.EMAIL:
                return read_email(self.content)
            case Channel.SMS:
                return read_sms(self.content)


@dataclass(frozen=True)
class Sms:
    """What a client of the gateway sent, and the key by which it would send it again."""

    to: str
    text: str
    id: str | None
    idempotency_key: str | None


class Store:
    """All that arrived, in memory and in a folder. Both servers use it, each in threads of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = Lock()
        self._arrivals = {arrival.id: arrival for arrival in sorted(_kept_in(folder), key=lambda kept: kept.id)}
        self._by_key = {key: arrival for arrival in self._arrivals.values() if (key := _idempotency_key(arrival))}

    def keep_email(self, sender: str, recipients: Iterable[str], content: bytes) -> Arrival:
        """Keep a mail with its envelope before it, as a server does on final delivery (RFC 5321 §4.4)."""
        recipients = tuple(recipients)
        envelope = [("Return-Path", f"<{sender}>"), *((ENVELOPE_RECIPIENT, recipient) for recipient in recipients)]
        lines = "".join(f"{name}: {value}\r\n" for name, value in envelope)
        mail = lines.encode("utf-8", "surrogateescape") + content
        with self._lock:
            return self._keep(Arrival(str(uuid7()), Channel.EMAIL, recipients, mail))

    def keep_sms(self, sms: Sms) -> Arrival:
        """Keep an SMS, or return the one that came under the same idempotency key before."""
        with self._lock:
            known = self._by_key.get(sms.idempotency_key or "")
            if known:
                return known
            arrival = self._keep(Arrival(str(uuid7()), Channel.SMS, (sms.to,), json.dumps(vars(sms)).encode()))
            if sms.idempotency_key:
                self._by_key[sms.idempotency_key] = arrival
            return arrival

    def newest_first(self, recipient: str | None = None) -> list[Arrival]:
        """Return what arrived, for one recipient or for all; addresses are compared without case."""
        with self._lock:
            arrivals = list(reversed(self._arrivals.values()))
        if recipient is None:
            return arrivals
        wanted = recipient.lower()
        return [arrival for arrival in arrivals if wanted in (address.lower() for address in arrival.recipients)]

    def get(self, arrival_id: str) -> Arrival | None:
        """Return the arrival of that id, if there is one."""
        return self._arrivals.get(arrival_id)

    def _keep(self, arrival: Arrival) -> Arrival:
        path = self._folder / f"{arrival.id}{SUFFIXES[arrival.channel]}"
        draft = path.with_suffix(".draft")
        draft.write_bytes(arrival.content)
        draft.rename(path)  # so that a file with a message's suffix is always whole
        self._arrivals[arrival.id] = arrival
        return arrival


def _kept_in(folder: Path) -> Iterable[Arrival]:
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
