"""Compute the values of a message as text: names, dates, addresses and the causes in a digest. No IO."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from itertools import product
from typing import Any

from babel.dates import format_datetime as format_for_people
from markupsafe import escape

from shared.addresses import LONGEST_EMAIL
from shared.vocabulary import AnyChannel, Channel, Locale

LONGEST_NAME = 60

MOST_CAUSES = 20
"""How many causes a digest lists. The total counts all."""

LONGEST_TEXT = 120
"""For a text of the payload, and for a cause in a digest."""

_ROW = (
    '\r\n<tr><td align="right" valign="top" style="white-space:nowrap">{}</td>'
    '<td style="padding:0 0 8px 12px">{}</td></tr>'
)

_ITEM = '<li style="margin:0 0 8px"><b>{}</b><br />{} · {}</li>'

_SECONDS_A_MINUTE = 60

# Matches text that a mail program would show as a link, or that a person would read as one. Anyone can register with
# the address of another person. So an attacker could put a link, number or code into the name, and Signpost would send
# it to that person. In a real name, a dot is followed by a space, or by a sign as in "Jr.," and "M.-L.". If a name does
# not fit, the greeting leaves it out.
_DOTS = ".。\u06d4\u0701\u0702\ua4f8\ua60e\U00010a50\U0001d16d"
_SLASHES = "/\\\\\u2044\u2215\u29f8\u29f9\u1735\u3033\u2cc6"
_LINK_IN_NAME = re.compile(
    rf"[@:\u2236\ua789{_SLASHES}]|[{_DOTS}](?![\s,'\u2019-]|$)|\bwww\b|xn--|(?:\d\D*){{5}}", re.IGNORECASE
)

# Both sides of the @ must be a dot-atom (RFC 5322 §3.2.3). Then the address cannot end the header or form an encoded
# word. RFC 6532 §3.2 allows any non-ASCII character in the atoms of the local part.
_ATOM = r"[A-Za-z0-9_!#$%&'*+/=?^`{|}~\x80-\U0010ffff-]+"
_DOMAIN = r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
_ADDRESS = re.compile(rf"(?!.*=\?){_ATOM}(?:\.{_ATOM})*@{_DOMAIN}")


class RenderingError(Exception):
    """The message cannot be rendered, now or later. The text contains no value of the message."""


def greeted_name(name: object) -> str | None:
    """Return the name for the greeting, on one line and of at most 60 characters.

    None if there is no name, or if it contains something that could become a link.
    """
    if name is None:
        return None
    if not isinstance(name, str):
        raise RenderingError("the payload's name is not text")
    if not name.isprintable():
        name = "".join(character if character.isprintable() else " " for character in name)
    words = " ".join(name.split())
    if not words or _could_be_link(words):
        return None
    return words if len(words) <= LONGEST_NAME else words[: LONGEST_NAME - 1].rstrip() + "…"


def header_address(recipient: str) -> bytes:
    """Return the address for a header, in UTF-8 (RFC 6532). Raises RenderingError if it does not fit there."""
    # Unprintable characters include lone surrogates, white space and Unicode line separators.
    if recipient.isprintable() and _ADDRESS.fullmatch(recipient):
        octets = recipient.encode()
        if len(octets) <= LONGEST_EMAIL:
            return octets
    raise RenderingError("the recipient is not a plain e-mail address")


def header_date(moment: datetime) -> bytes:
    """Format a time as in RFC 5322 §3.3, in UTC."""
    return _header_date(int(moment.timestamp()))


def time_text(moment: datetime, locale: Locale, channel: AnyChannel) -> str:
    """Format the minute at which something expires or happened. Seconds are cut off, never rounded up."""
    return _time_text(int(moment.timestamp()) // _SECONDS_A_MINUTE, locale, channel)


def load_dates() -> None:
    """Load Babel's data of our languages, which takes a tenth of a second, before the first message needs it."""
    for locale, channel in product(Locale, Channel):
        time_text(datetime.now(UTC), locale, channel)


def dead_count(payload: Mapping[str, Any]) -> int:
    """Return how many messages are dead or late."""
    return _count(payload.get("dead"))


def payload_text(payload: Mapping[str, Any], name: str) -> str:
    """Return a text of the payload, on one line and of at most 120 characters."""
    text = payload.get(name)
    if not isinstance(text, str):
        raise RenderingError(f"the payload has no text {name}")
    return _on_one_line(text)


def causes_in_text(payload: Mapping[str, Any]) -> str:
    """Return one line per cause, with the line ends of a mail."""
    return "\r\n".join(f"{count:>7}  {cause}" for count, cause in _causes(payload))


def causes_in_html(payload: Mapping[str, Any]) -> str:
    """Return one table row per cause, each on a separate line."""
    return "".join(_ROW.format(count, escape(cause)) for count, cause in _causes(payload))


def events_in_text(payload: Mapping[str, Any], locale: Locale) -> str:
    """Return one line per event, with the line ends of a mail: its time, device and network."""
    return "\r\n".join("- " + " · ".join(parts) for parts in _events(payload, locale))


def events_in_html(payload: Mapping[str, Any], locale: Locale) -> str:
    """Return one list item per event."""
    events = _events(payload, locale)
    return "".join(_ITEM.format(escape(time), escape(device), escape(network)) for time, device, network in events)


def events_in_sms(payload: Mapping[str, Any], locale: Locale) -> str:
    """Return the latest event and how many others there are: an SMS has no room for a list."""
    events = _events(payload, locale, Channel.SMS)
    others = f" (+{len(events) - 1})" if events[1:] else ""
    return ", ".join(events[-1]) + others


def _could_be_link(words: str) -> bool:
    """Search the text as a person sees it.

    Compatibility characters are replaced, and combining marks, which may be invisible, are removed.
    """
    if words.isascii():
        return _LINK_IN_NAME.search(words) is not None
    apart = unicodedata.normalize("NFKD", words)
    seen = "".join(character for character in apart if not unicodedata.category(character).startswith("M"))
    return _LINK_IN_NAME.search(seen) is not None


@lru_cache(maxsize=64)
def _header_date(seconds: int) -> bytes:
    return format_datetime(datetime.fromtimestamp(seconds, UTC)).encode("ascii")


@lru_cache(maxsize=1024)
def _time_text(minutes: int, locale: Locale, channel: AnyChannel) -> str:
    moment = datetime.fromtimestamp(minutes * _SECONDS_A_MINUTE, UTC)
    pattern = _time_pattern(locale, channel, is_first_of_month=moment.day == 1)
    return format_for_people(moment, pattern, tzinfo=UTC, locale=locale.value)


def _time_pattern(locale: Locale, channel: AnyChannel, *, is_first_of_month: bool) -> str:
    is_short = channel is Channel.SMS
    match locale:
        case Locale.EN:
            return f"d {'MMM' if is_short else 'MMMM'} y, HH:mm 'UTC'"
        case Locale.FR if is_short:
            # The û of "août" is not in GSM-7. The text would then need two SMS segments instead of one.
            return "dd/MM/y 'à' HH'h'mm 'UTC'"
        case Locale.FR:
            day = "'1er'" if is_first_of_month else "d"
            return f"{day} MMMM y 'à' HH\N{NO-BREAK SPACE}'h'\N{NO-BREAK SPACE}mm 'UTC'"


def _causes(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    causes = payload.get("causes")
    if not isinstance(causes, Sequence) or not causes:
        raise RenderingError("the payload names no causes")
    for cause in causes[:MOST_CAUSES]:
        if not isinstance(cause, Mapping) or not isinstance(cause.get("cause"), str):
            raise RenderingError("a cause is not text with a count")
        yield _count_text(cause.get("count")), _on_one_line(cause["cause"])


def _events(payload: Mapping[str, Any], locale: Locale, channel: Channel = Channel.EMAIL) -> list[tuple[str, str, str]]:
    """Return time, device and network of each event, oldest first."""
    events = payload.get("events")
    if not isinstance(events, Sequence) or not events:
        raise RenderingError("the payload names no events")
    return [_event(event, locale, channel) for event in events]


def _event(event: object, locale: Locale, channel: Channel) -> tuple[str, str, str]:
    if not isinstance(event, Mapping):
        raise RenderingError("an event is no object")
    device, network = _unknown(locale)
    try:
        at = datetime.fromisoformat(event["at"])
    except (KeyError, TypeError, ValueError):
        raise RenderingError("an event has no time") from None
    known = [event.get(name) for name in ("device", "network")]
    if not all(value is None or isinstance(value, str) for value in known):
        raise RenderingError("a device or a network is not text")
    return time_text(at, locale, channel), _on_one_line(known[0] or device), _on_one_line(known[1] or network)


def _unknown(locale: Locale) -> tuple[str, str]:
    """Return the words for an unknown device and for an unknown network."""
    match locale:
        case Locale.EN:
            return "unknown device", "unknown network"
        case Locale.FR:
            return "appareil inconnu", "réseau inconnu"


def _on_one_line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:LONGEST_TEXT]


def _count_text(value: object) -> str:
    """Format a count. A cause that concerns no message has no count."""
    return "" if value is None else str(_count(value))


def _count(value: object) -> int:
    if not isinstance(value, int):
        raise RenderingError("a count is not a number")
    return value
