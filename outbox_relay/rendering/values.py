"""What goes into the holes: pure functions of what a message holds."""

import re
import unicodedata
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from itertools import product

from babel.dates import format_datetime as format_for_people

from outbox_relay.rendering.errors import RenderingError
from shared.addresses import LONGEST_EMAIL
from shared.vocabulary import AnyChannel, Channel, Locale

LONGEST_NAME = 60
_SECONDS_A_MINUTE = 60

# What a mail reader would make a link of, or a person read as one. Anyone can register any address, and
# so could have us send their link, number or code, as somebody's name, to somebody else. After a dot, no name
# goes on without a space, but for "Jr.," and "M.-L."; whoever else is meant is greeted without a name.
_DOTS = ".。\u06d4\u0701\u0702\ua4f8\ua60e\U00010a50\U0001d16d"
_SLASHES = "/\\\\\u2044\u2215\u29f8\u29f9\u1735\u3033\u2cc6"
_LINK_IN_NAME = re.compile(
    rf"[@:\u2236\ua789{_SLASHES}]|[{_DOTS}](?![\s,'\u2019-]|$)|\bwww\b|xn--|(?:\d\D*){{5}}", re.IGNORECASE
)

# Most names in one look: Latin letters, of which none is printed as a dot, and single characters between them.
_PLAIN_NAME = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ]+(?:[ '-][A-Za-zÀ-ÖØ-öø-ɏ]+)*")

# A dot-atom on both sides (RFC 5322 §3.2.3): nothing that could end the header or be read as an
# encoded word. Beyond ASCII, RFC 6532 §3.2 takes any character into the atoms of the local part.
_ATOM, _ANY_ATOM = r"[A-Za-z0-9_!#$%&'*+/=?^`{|}~-]+", r"[A-Za-z0-9_!#$%&'*+/=?^`{|}~\x80-\U0010ffff-]+"
_DOMAIN = r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
_PLAIN_ADDRESS = re.compile(rf"(?!.*=\?){_ATOM}(?:\.{_ATOM})*@{_DOMAIN}")
_INTERNATIONAL_ADDRESS = re.compile(rf"(?!.*=\?){_ANY_ATOM}(?:\.{_ANY_ATOM})*@{_DOMAIN}")


def greeted_name(name: object) -> str | None:
    """Return the name to greet with, on one line and of at most 60 characters.

    None where there is none, or where it holds what could become a link.
    """
    if name is None:
        return None
    if not isinstance(name, str):
        raise RenderingError("the payload's name is not text")
    if len(name) <= LONGEST_NAME and _PLAIN_NAME.fullmatch(name):
        return name
    return _mended(name)


def header_address(recipient: str) -> bytes:
    """Return the address as it may stand in a header, in UTF-8 (RFC 6532). Raises RenderingError if it may not."""
    if len(recipient) <= LONGEST_EMAIL and _PLAIN_ADDRESS.fullmatch(recipient):
        return recipient.encode()
    # What is not printable is, among others, half a character, white space and what ends lines elsewhere.
    if recipient.isprintable() and _INTERNATIONAL_ADDRESS.fullmatch(recipient):
        octets = recipient.encode()
        if len(octets) <= LONGEST_EMAIL:
            return octets
    raise RenderingError("the recipient is not a plain e-mail address")


def header_date(moment: datetime) -> bytes:
    """Return a moment in the form of RFC 5322 §3.3, in UTC."""
    return _header_date(int(moment.timestamp()))


def expiry_text(moment: datetime, locale: Locale, channel: AnyChannel) -> str:
    """Return the minute until which something holds, in words; seconds are dropped, never added."""
    return _expiry_text(int(moment.timestamp()) // _SECONDS_A_MINUTE, locale, channel)


def load_dates() -> None:
    """Have Babel read what it knows of our languages: a tenth of a second, for which the first message would wait."""
    for locale, channel in product(Locale, Channel):
        expiry_text(datetime.now(UTC), locale, channel)


def _mended(name: str) -> str | None:
    if not name.isprintable():
        name = "".join(character if character.isprintable() else " " for character in name)
    words = " ".join(name.split())
    if not words or _could_be_link(words):
        return None
    return words if len(words) <= LONGEST_NAME else words[: LONGEST_NAME - 1].rstrip() + "…"


def _could_be_link(words: str) -> bool:
    """Look at what is seen: without marks, which may be invisible or hidden by their letter, and in plain forms."""
    if words.isascii():
        return _LINK_IN_NAME.search(words) is not None
    apart = unicodedata.normalize("NFKD", words)
    seen = "".join(character for character in apart if not unicodedata.category(character).startswith("M"))
    return _LINK_IN_NAME.search(seen) is not None


@lru_cache(maxsize=64)
def _header_date(seconds: int) -> bytes:
    return format_datetime(datetime.fromtimestamp(seconds, UTC)).encode("ascii")


@lru_cache(maxsize=1024)
def _expiry_text(minutes: int, locale: Locale, channel: AnyChannel) -> str:
    moment = datetime.fromtimestamp(minutes * _SECONDS_A_MINUTE, UTC)
    pattern = _expiry_pattern(locale, channel, is_first_of_month=moment.day == 1)
    return format_for_people(moment, pattern, tzinfo=UTC, locale=locale.value)


def _expiry_pattern(locale: Locale, channel: AnyChannel, *, is_first_of_month: bool) -> str:
    is_short = channel is Channel.SMS
    match locale:
        case Locale.EN:
            return f"d {'MMM' if is_short else 'MMMM'} y, HH:mm 'UTC'"
        case Locale.FR if is_short:
            # The û of août is not in GSM-7: with it, one SMS would become two.
            return "dd/MM/y 'à' HH'h'mm 'UTC'"
        case Locale.FR:
            day = "'1er'" if is_first_of_month else "d"
            return f"{day} MMMM y 'à' HH\N{NO-BREAK SPACE}'h'\N{NO-BREAK SPACE}mm 'UTC'"
