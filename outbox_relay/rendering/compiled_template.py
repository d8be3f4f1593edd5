"""Compiled templates: the fixed bytes of a message, with placeholders that formatters fill in.

A message is first composed with a *placeholder* for each value, and then split at the placeholders. A placeholder
consists of plain letters, which no escaping or encoding changes. A value is encoded for the place where it is used. Of
all values, only names and addresses come from users, and an address is used only in its header. The values that
Signpost generates need no escaping in HTML or quoted-printable, or were encoded when they were computed.

In a mail's body, a soft line break stands before and after each value (quoted-printable, RFC 2045 §6.7). So a value of
any length fits, and no line needs the dot-stuffing of RFC 5321 §4.5.2.
"""

import re
from binascii import b2a_qp
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from markupsafe import escape

from outbox_relay.model import ClaimedMessage
from outbox_relay.rendering.values import (
    RenderingError,
    causes_in_html,
    causes_in_text,
    dead_count,
    events_in_html,
    events_in_sms,
    events_in_text,
    header_address,
    header_date,
    payload_text,
    time_text,
)
from shared.secrets import LinkUse, SecretKeys, code_for, link_token_for
from shared.vocabulary import Locale

SOFT_BREAK = b"=\r\n"
LONGEST_LINE = 76
"""Columns, including the ``=`` of a soft line break (RFC 2045 §6.7, rule 5)."""

PLACEHOLDER = re.compile(rb"fill_([a-z]+)_([a-z_]+)_here")
_NEEDS_NO_ENCODING = re.compile(r"(?!\.)[ -<>-~]{0,75}")
_FIRST_DOTS = re.compile(rb"^\.", re.MULTILINE)
_BYTES_A_LINE = 25  # each takes up to three columns


class Value(StrEnum):
    """The values that the relay computes. Other values are texts in the payload."""

    RECIPIENT = "recipient"
    DATE = "date"
    ID = "id"
    NAME = "name"
    CODE = "code"
    LINK = "link"
    EXPIRES = "expires"
    TIME = "time"
    EVENTS = "events"
    END_LINK = "end_link"
    INVITATION_LINK = "invitation_link"
    DEAD = "dead"
    CAUSES = "causes"


class OutputContext(StrEnum):
    """Where a placeholder stands, which decides how its value is encoded."""

    HEADER = "header"
    TEXT = "text"
    HTML = "html"
    SMS = "sms"


class RenderValues(NamedTuple):
    """The input of formatters: the message, the name to greet, and the keys for codes and links."""

    message: ClaimedMessage
    name: str
    keys: SecretKeys


Formatter = Callable[[RenderValues], bytes]
"""Returns one value, encoded for its place. Raises RenderingError if the message lacks it."""


class CompiledTemplate:
    """A message without its values."""

    def __init__(self, fixed: list[bytes], formatters: list[Formatter]) -> None:
        # A value used several times in the same encoding is formatted once.
        self._formatters = list(dict.fromkeys(formatters))
        self._order = [self._formatters.index(formatter) for formatter in formatters]
        self._pieces = [b""] * (len(fixed) + len(formatters))
        self._pieces[0::2] = fixed

    def fill(self, values: RenderValues) -> bytes:
        """Return the message with its values."""
        formatted = [formatter(values) for formatter in self._formatters]
        pieces = self._pieces.copy()
        pieces[1::2] = [formatted[index] for index in self._order]
        return b"".join(pieces)


def placeholder(context: OutputContext, value: str) -> str:
    """Return the placeholder of a value, for the message to be composed."""
    return f"fill_{context}_{value}_here"


def compile_template(composed: bytes) -> CompiledTemplate:
    """Split a composed message at its placeholders. Raises KeyError for a value that is not allowed in its place."""
    fixed, contexts, values = (PLACEHOLDER.split(composed)[part::3] for part in range(3))
    places = zip(contexts, values, strict=True)
    return CompiledTemplate(
        fixed, [_formatter(OutputContext(context.decode()), value.decode()) for context, value in places]
    )


def _formatter(context: OutputContext, value: str) -> Formatter:
    if value in set(Value):
        return FORMATTERS[context, Value(value)]
    encode = TEXT_ENCODINGS[context]
    return lambda values: encode(payload_text(values.message.payload, value))


def quoted(value: str) -> bytes:
    """Encode a value that stands between two soft line breaks."""
    if _NEEDS_NO_ENCODING.fullmatch(value):
        return value.encode("ascii")
    octets = value.encode()
    if len(octets) <= _BYTES_A_LINE:
        return _quoted_line(octets)
    return SOFT_BREAK.join(
        [_quoted_line(octets[at : at + _BYTES_A_LINE]) for at in range(0, len(octets), _BYTES_A_LINE)]
    )


def quoted_html(value: str) -> bytes:
    """Encode a value as HTML text that stands between two soft line breaks."""
    return quoted(str(escape(value)))


def without_first_dots(encoded: bytes) -> bytes:
    """Encode each dot that begins a line. Such a line grows by two columns."""
    return _FIRST_DOTS.sub(b"=2E", encoded)


def _quoted_line(octets: bytes) -> bytes:
    encoded = b2a_qp(octets, istext=False)
    return b"=2E" + encoded[1:] if encoded.startswith(b".") else encoded


def _date(values: RenderValues) -> bytes:
    return header_date(values.message.created_at)


def _id(values: RenderValues) -> bytes:
    return str(values.message.id).encode()


def _recipient(values: RenderValues) -> bytes:
    return header_address(values.message.recipient)


def _code(values: RenderValues) -> bytes:
    return code_for(*_token_and_key(values)).encode()


def _link(values: RenderValues) -> bytes:
    return link_token_for(*_token_and_key(values)).encode()


def _end_link(values: RenderValues) -> bytes:
    """Derive the link from the message's own id. It needs no token: it works for a time, any number of times."""
    return link_token_for(values.message.id, _key(values), LinkUse.END_SESSIONS).encode()


def _invitation_link(values: RenderValues) -> bytes:
    return link_token_for(*_token_and_key(values), LinkUse.ACCEPT_INVITATION).encode()


def _dead(values: RenderValues) -> bytes:
    return str(dead_count(values.message.payload)).encode()


def _token_and_key(values: RenderValues) -> tuple[UUID, bytes]:
    token_id = values.message.token_id
    if token_id is None:
        raise RenderingError("the message names no token")
    return token_id, _key(values)


def _key(values: RenderValues) -> bytes:
    key_id = values.message.payload.get("key_id")
    if not isinstance(key_id, str):
        raise RenderingError("the payload names no key_id")
    return values.keys[key_id]


def _expiry_in_mail(values: RenderValues) -> bytes:
    return quoted(_expiry(values.message))


def _expiry_in_sms(values: RenderValues) -> bytes:
    return _expiry(values.message).encode()


def _expiry(message: ClaimedMessage) -> str:
    if message.expires_at is None:
        raise RenderingError("the message has no expires_at")
    return time_text(message.expires_at, message.locale, message.channel)


def _time(message: ClaimedMessage) -> str:
    """Format when the message was enqueued, which is when the change that it reports was committed."""
    return time_text(message.created_at, message.locale, message.channel)


def _events(values: RenderValues, formatted: Callable[[Mapping[str, Any], Locale], str]) -> str:
    return formatted(values.message.payload, values.message.locale)


FORMATTERS: Mapping[tuple[OutputContext, Value], Formatter] = {
    (OutputContext.HEADER, Value.DATE): _date,
    (OutputContext.HEADER, Value.ID): _id,
    (OutputContext.HEADER, Value.RECIPIENT): _recipient,
    (OutputContext.TEXT, Value.NAME): lambda values: quoted(values.name),
    (OutputContext.HTML, Value.NAME): lambda values: quoted_html(values.name),
    (OutputContext.SMS, Value.NAME): lambda values: values.name.encode(),
    (OutputContext.TEXT, Value.CODE): _code,
    (OutputContext.HTML, Value.CODE): _code,
    (OutputContext.SMS, Value.CODE): _code,
    (OutputContext.TEXT, Value.LINK): _link,
    (OutputContext.HTML, Value.LINK): _link,
    (OutputContext.SMS, Value.LINK): _link,
    (OutputContext.TEXT, Value.EXPIRES): _expiry_in_mail,
    (OutputContext.HTML, Value.EXPIRES): _expiry_in_mail,
    (OutputContext.SMS, Value.EXPIRES): _expiry_in_sms,
    (OutputContext.TEXT, Value.TIME): lambda values: quoted(_time(values.message)),
    (OutputContext.HTML, Value.TIME): lambda values: quoted_html(_time(values.message)),
    (OutputContext.SMS, Value.TIME): lambda values: _time(values.message).encode(),
    (OutputContext.TEXT, Value.EVENTS): lambda values: quoted(_events(values, events_in_text)),
    (OutputContext.HTML, Value.EVENTS): lambda values: quoted(_events(values, events_in_html)),
    (OutputContext.SMS, Value.EVENTS): lambda values: _events(values, events_in_sms).encode(),
    (OutputContext.TEXT, Value.END_LINK): _end_link,
    (OutputContext.HTML, Value.END_LINK): _end_link,
    (OutputContext.SMS, Value.END_LINK): _end_link,
    (OutputContext.TEXT, Value.INVITATION_LINK): _invitation_link,
    (OutputContext.HTML, Value.INVITATION_LINK): _invitation_link,
    (OutputContext.TEXT, Value.DEAD): _dead,
    (OutputContext.HTML, Value.DEAD): _dead,
    (OutputContext.SMS, Value.DEAD): _dead,
    (OutputContext.TEXT, Value.CAUSES): lambda values: quoted(causes_in_text(values.message.payload)),
    (OutputContext.HTML, Value.CAUSES): lambda values: quoted(causes_in_html(values.message.payload)),
}
"""For each context, the allowed values and their encoding. A template with another combination is broken."""

TEXT_ENCODINGS: Mapping[OutputContext, Callable[[str], bytes]] = {
    OutputContext.TEXT: quoted,
    OutputContext.HTML: quoted_html,
    OutputContext.SMS: str.encode,
}
"""How a text of the payload is encoded. A header cannot contain it."""
