"""Texts of SMS: the product's name in GSM-7 if possible, and the last line that lets phones offer the code."""

import unicodedata
from ipaddress import ip_address
from urllib.parse import urlsplit

from outbox_relay.sms_segments import Alphabet, alphabet_of

# Typographic quotation marks, dashes and spaces, and their plain forms.
_PLAIN_PUNCTUATION = str.maketrans({
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{NO-BREAK SPACE}": " ",
})  # fmt: skip


def sms_name(product: str) -> str:
    """Return the product's name without characters that would need a second segment.

    For example, é is in GSM-7 and stays, while ê is not in GSM-7 and loses its accent. A name in another script is
    returned unchanged.
    """
    plain = "".join(_plain(character) for character in product.translate(_PLAIN_PUNCTUATION))
    return plain if alphabet_of(plain) is Alphabet.GSM_7 else product


def one_tap_domain(public_url: str) -> str:
    """Return the domain that codes are bound to. Raises ValueError with a predicate.

    The URL must be https at a domain without a port (WICG, "Origin-bound one-time codes delivered via SMS", §3.1).
    """
    parts = urlsplit(public_url)
    domain = parts.hostname or ""
    if parts.scheme != "https" or parts.port or _is_ip_address(domain):
        raise ValueError("needs a PUBLIC_URL that is https at a domain, without a port")
    return domain.encode("idna").decode()


def one_tap_line(domain: str, code: str) -> str:
    """Return the last line of an SMS, which makes phones offer the code on that domain's pages only."""
    return f"\n@{domain} #{code}"


def _plain(character: str) -> str:
    if alphabet_of(character) is Alphabet.GSM_7:
        return character
    return "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
