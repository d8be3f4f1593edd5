"""What the fields of bodies must look like. Each fault is one of FaultCode's words."""

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from marshmallow import ValidationError, fields

from api_service import passwords
from api_service.characters import BLANKS, refuse_controls, refuse_unseen
from api_service.countries import COUNTRIES
from api_service.errors import FaultCode
from shared.addresses import WRITTEN_NUMBER, InvalidAddressError, canonical_phone, deliverable_email

LONGEST_NAME = 200
LONGEST_TEXT = 512
"""Far above any address, link token or code; parsers need not be fed more."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class Text(fields.String):
    """A string of bounded length; numbers are not taken for strings."""

    longest = LONGEST_TEXT
    looks: ClassVar[dict[str, Any]] = {}
    """What a client can know of it beforehand, in the words of JSON Schema."""

    def __init__(self, **options: Any) -> None:
        messages: dict[str, Any] = dict.fromkeys(("null", "invalid", "invalid_utf8"), FaultCode.INVALID_TYPE)
        messages["required"] = FaultCode.REQUIRED
        super().__init__(error_messages=messages, metadata={"maxLength": self.longest} | self.looks, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any) -> Any:
        text = super()._deserialize(value, attr, data, **more)
        if len(text) > self.longest:
            raise ValidationError(FaultCode.TOO_LONG)
        return self.accepted(text)

    def accepted(self, text: str) -> Any:
        """Return the value that the text stands for, or raise ValidationError with a FaultCode."""
        return text


class Email(Text):
    """An address that a mail can be sent to; as a value, in deliverable form."""

    looks: ClassVar = {
        "description": "an address that a mail can be sent to",
        "format": "email",
        "examples": ["ada@example.org"],
    }

    def accepted(self, text: str) -> str:
        """Return the deliverable form."""
        refuse_controls(text)
        try:
            return deliverable_email(text)
        except InvalidAddressError:
            raise ValidationError(FaultCode.INVALID_EMAIL) from None


class Phone(Text):
    """A number with its country code; as a value, in E.164 form."""

    looks: ClassVar = {
        "description": "a number with its country code",
        "pattern": f"^{WRITTEN_NUMBER.pattern}$",
        "examples": ["+33 6 12 34 56 78"],
    }

    def accepted(self, text: str) -> str:
        """Return the E.164 form."""
        refuse_controls(text)
        try:
            return canonical_phone(text)
        except InvalidAddressError:
            raise ValidationError(FaultCode.INVALID_PHONE) from None


class FullName(Text):
    """What someone is called, without anything that could break a line or turn the text around."""

    looks: ClassVar = {"minLength": 1, "maxLength": LONGEST_NAME, "examples": ["Ada Lovelace"]}

    def accepted(self, text: str) -> str:
        """Return the name without the spaces around it."""
        refuse_controls(text)
        refuse_unseen(text)
        name = text.strip()
        if not name.strip("".join(BLANKS) + " "):
            raise ValidationError(FaultCode.TOO_SHORT)
        if len(name) > LONGEST_NAME:
            raise ValidationError(FaultCode.TOO_LONG)
        return name


class OrganizationName(FullName):
    """What an organization is called, by the same rules; as a value, in NFC and with single spaces."""

    looks: ClassVar = {"minLength": 1, "maxLength": LONGEST_NAME, "examples": ["Analytical Engines"]}

    def accepted(self, text: str) -> str:
        """Return the name as it is kept, which has a letter or a digit at least."""
        name = " ".join(super().accepted(unicodedata.normalize("NFC", text)).split())
        if not any(character.isalnum() for character in name):
            raise ValidationError(FaultCode.TOO_SHORT)
        return name


class Country(Text):
    """A country; as a value, its code."""

    looks: ClassVar = {"description": "ISO 3166-1 alpha-2", "pattern": "^[A-Z]{2}$", "examples": ["FR"]}

    def accepted(self, text: str) -> str:
        """Return the code, if there is such a country."""
        if text not in COUNTRIES:
            raise ValidationError(FaultCode.INVALID_COUNTRY)
        return text


class Password(Text):
    """A password; as a value, normalised. What it must not be depends on the addresses beside it."""

    longest = 4 * passwords.LONGEST
    """Before normalising, which can shorten: decomposed letters take several code points."""
    looks: ClassVar = {"format": "password", "examples": ["four quiet words here"]}

    def accepted(self, text: str) -> str:
        """Return the normalised form."""
        return passwords.normalised(text)


class NewPassword(Password):
    """A password to have from now on; the schema it stands in looks at what it must not be."""

    looks: ClassVar = Password.looks | {"minLength": passwords.SHORTEST, "maxLength": passwords.LONGEST}


class OneOf(Text):
    """A word of a closed set."""

    def __init__(self, kind: type[StrEnum], **options: Any) -> None:
        super().__init__(**options)
        self.kind = kind
        self.metadata = {"enum": [str(word) for word in kind]}

    def accepted(self, text: str) -> StrEnum:
        """Return the member."""
        try:
            return self.kind(text)
        except ValueError:
            raise ValidationError(FaultCode.INVALID_CHOICE) from None


class Id(Text):
    """A UUID in its usual form (RFC 9562 §4), as the routes' paths take it, too."""

    looks: ClassVar = {"format": "uuid", "examples": ["0192f0c4-7a3e-7cc1-9a55-3d1f0a9b8c7d"]}

    def accepted(self, text: str) -> UUID:
        """Return the UUID; Python's own reading would take braces, prefixes and hyphens anywhere."""
        if not _UUID.fullmatch(text):
            raise ValidationError(FaultCode.INVALID_ID)
        return UUID(text)


class TypedCode(Text):
    """A code as someone typed it; as a value, without spaces."""

    looks: ClassVar = {"description": "six digits, spaces or not", "examples": ["123456"]}

    def accepted(self, text: str) -> str:
        """Return what is left without the spaces that people read a code with."""
        return "".join(text.split())
