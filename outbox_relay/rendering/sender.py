"""Who the messages come from."""

import re
from dataclasses import dataclass
from email.headerregistry import Address

from shared.addresses import InvalidAddressError, ascii_email

NAME_AND_ADDRESS = re.compile(r'"?(?P<name>[^"<>]*[^"<>\s])"?\s*<(?P<address>[^<>]+)>')


@dataclass(frozen=True)
class Sender:
    """The name on every message, which is also the product's, and the address that e-mails are from.

    Answers go to ``reply_to`` where it is given, and else to that address.
    """

    name: str
    address: str
    reply_to: Address | None = None

    @property
    def domain(self) -> str:
        """The part of the address that Message-IDs are unique within."""
        return self.address.rpartition("@")[2]


def parse_sender(text: str) -> Sender:
    """Read ``Name <address>``. Raises ValueError with a predicate for a fault of a setting."""
    match = NAME_AND_ADDRESS.fullmatch(text.strip())
    if match is None or not text.isprintable():
        raise ValueError("is not Name <address>")
    try:
        address = ascii_email(match["address"].strip())
    except InvalidAddressError as error:
        raise ValueError("does not hold a plain e-mail address between < and >") from error
    return Sender(match["name"].strip(), address)


def parse_reply_to(text: str) -> Address:
    """Read ``Name <address>`` or an address alone. Raises ValueError with a predicate for a fault of a setting."""
    if "<" in text:
        named = parse_sender(text)
        return Address(named.name, addr_spec=named.address)
    try:
        return Address(addr_spec=ascii_email(text.strip()))
    except InvalidAddressError as error:
        raise ValueError("is neither Name <address> nor a plain e-mail address") from error
