"""Who the messages come from."""

import re
from dataclasses import dataclass

from shared.addresses import InvalidAddressError, deliverable_email

NAME_AND_ADDRESS = re.compile(r'"?(?P<name>[^"<>]*[^"<>\s])"?\s*<(?P<address>[^<>]+)>')


@dataclass(frozen=True)
class Sender:
    """The name on every message, which is also the product's, and the address that e-mails are from."""

    name: str
    address: str

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
        address = deliverable_email(match["address"].strip())
    except InvalidAddressError as error:
        raise ValueError("does not hold a plain e-mail address between < and >") from error
    return Sender(match["name"].strip(), address)
