"""How each value of a message is written where it stands.

Only a name and an address come from a user: a name is written for its place, and an address stands in
its header alone. What we make ourselves has no character that HTML or quoted-printable would write
otherwise, or was encoded when it was made; so it is written once for all its places.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from outbox_relay.model import ClaimedMessage
from outbox_relay.rendering.digest import causes_in_html, causes_in_text, dead_count
from outbox_relay.rendering.errors import RenderingError
from outbox_relay.rendering.quoted_printable import quoted, quoted_html
from outbox_relay.rendering.values import expiry_text, header_address, header_date
from shared.secrets import SecretKeys, code_for, link_token_for


class Value(StrEnum):
    """What differs from one message to the next of the same form."""

    RECIPIENT = "recipient"
    DATE = "date"
    ID = "id"
    NAME = "name"
    CODE = "code"
    LINK = "link"
    EXPIRES = "expires"
    DEAD = "dead"
    CAUSES = "causes"


class Place(StrEnum):
    """Where a hole is, and so how a value is written there."""

    HEADER = "header"
    TEXT = "text"
    HTML = "html"
    SMS = "sms"


class Facts(NamedTuple):
    """What values are made from: the message, the name to greet, and the keys that its secrets are derived under."""

    message: ClaimedMessage
    name: str
    keys: SecretKeys


Pen = Callable[[Facts], bytes]
"""Writes one value, ready to stand in its holes. Raises RenderingError if the message does not give it."""

# Expiries are told by the minute, to all whose tokens run out in it.
_quoted_expiry = lru_cache(maxsize=1024)(quoted)


def _date(facts: Facts) -> bytes:
    return header_date(facts.message.created_at)


def _id(facts: Facts) -> bytes:
    return str(facts.message.id).encode()


def _recipient(facts: Facts) -> bytes:
    return header_address(facts.message.recipient)


def _code(facts: Facts) -> bytes:
    return code_for(*_token_and_key(facts)).encode()


def _link(facts: Facts) -> bytes:
    return link_token_for(*_token_and_key(facts)).encode()


def _dead(facts: Facts) -> bytes:
    return str(dead_count(facts.message.payload)).encode()


def _token_and_key(facts: Facts) -> tuple[UUID, bytes]:
    token_id, key_id = facts.message.token_id, facts.message.payload.get("key_id")
    if token_id is None or not isinstance(key_id, str):
        raise RenderingError("the message names no token, or its payload no key_id")
    return token_id, facts.keys[key_id]


def _expiry_in_mail(facts: Facts) -> bytes:
    return _quoted_expiry(_expiry(facts.message))


def _expiry_in_sms(facts: Facts) -> bytes:
    return _expiry(facts.message).encode()


def _expiry(message: ClaimedMessage) -> str:
    if message.expires_at is None:
        raise RenderingError("the message has no expires_at")
    return expiry_text(message.expires_at, message.locale, message.channel)


PENS: Mapping[tuple[Place, Value], Pen] = {
    (Place.HEADER, Value.DATE): _date,
    (Place.HEADER, Value.ID): _id,
    (Place.HEADER, Value.RECIPIENT): _recipient,
    (Place.TEXT, Value.NAME): lambda facts: quoted(facts.name),
    (Place.HTML, Value.NAME): lambda facts: quoted_html(facts.name),
    (Place.SMS, Value.NAME): lambda facts: facts.name.encode(),
    (Place.TEXT, Value.CODE): _code,
    (Place.HTML, Value.CODE): _code,
    (Place.SMS, Value.CODE): _code,
    (Place.TEXT, Value.LINK): _link,
    (Place.HTML, Value.LINK): _link,
    (Place.SMS, Value.LINK): _link,
    (Place.TEXT, Value.EXPIRES): _expiry_in_mail,
    (Place.HTML, Value.EXPIRES): _expiry_in_mail,
    (Place.SMS, Value.EXPIRES): _expiry_in_sms,
    (Place.TEXT, Value.DEAD): _dead,
    (Place.HTML, Value.DEAD): _dead,
    (Place.SMS, Value.DEAD): _dead,
    (Place.TEXT, Value.CAUSES): lambda facts: quoted(causes_in_text(facts.message.payload)),
    (Place.HTML, Value.CAUSES): lambda facts: quoted(causes_in_html(facts.message.payload)),
}
"""What may stand where, and how: a template that asks for anything else is broken."""
