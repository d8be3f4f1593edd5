"""Fields of request bodies. Each violation has a ViolationCode."""

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from marshmallow import ValidationError, fields, missing

from api_service.errors import ViolationCode
from api_service.security import passwords
from shared.addresses import (
    WRITTEN_NUMBER,
    InvalidAddressError,
    MissingCountryCodeError,
    canonical_phone,
    deliverable_email,
)
from shared.profiles import MAX_PROFILE_BYTES, ProfileSchema
from shared.texts import has_control_characters

LONGEST_NAME = 200
LONGEST_TEXT = 512
"""Far above any address, link token or code; longer input is rejected before parsing."""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_UNSEEN_CATEGORIES = ("Cf", "Co", "Cn")
"""Format, private-use and unassigned characters."""
_JOINERS = frozenset("\u200c\u200d")
"""They change how letters join within words of Persian or Indic scripts, and are invisible elsewhere."""
_VIRAMA = 9
"""The combining class of marks that suppress the vowel of an Indic letter."""
BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols without visible glyphs."""
# ISO 3166-1 alpha-2, without reserved codes such as EU or UK.
_COUNTRY_CODES = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC
CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD
GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH
KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW
MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC
SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY
UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
COUNTRIES = frozenset(_COUNTRY_CODES.split())


class Text(fields.String):
    """A string of bounded length. Numbers are rejected."""

    longest = LONGEST_TEXT
    json_schema: ClassVar[dict[str, Any]] = {}
    """The part of the field's rules that JSON Schema can express."""

    def __init__(self, **options: Any) -> None:
        messages: dict[str, Any] = dict.fromkeys(("null", "invalid", "invalid_utf8"), ViolationCode.INVALID_TYPE)
        messages["required"] = ViolationCode.REQUIRED
        super().__init__(error_messages=messages, metadata={"maxLength": self.longest} | self.json_schema, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any) -> Any:
        text = super()._deserialize(value, attr, data, **more)
        if len(text) > self.longest:
            raise ValidationError(ViolationCode.TOO_LONG)
        return self.accepted(text)

    def accepted(self, text: str) -> Any:
        """Return the value of the text, or raise ValidationError with a ViolationCode."""
        return text


class Email(Text):
    """An e-mail address; its value is in deliverable form."""

    json_schema: ClassVar = {
        "description": "an address that a mail can be sent to",
        "format": "email",
        "examples": ["ada@example.org"],
    }

    def accepted(self, text: str) -> str:
        """Return the deliverable form."""
        reject_control_characters(text)
        try:
            return deliverable_email(text)
        except InvalidAddressError:
            raise ValidationError(ViolationCode.INVALID_EMAIL) from None


class Phone(Text):
    """A phone number; its value is in E.164 form. The schema sets the region of numbers without country code."""

    region: str | None = None
    json_schema: ClassVar = {
        "description": "a number with its country code; with PHONE_DEFAULT_REGION, also one as dialled in that country",
        "pattern": f"^{WRITTEN_NUMBER.pattern}$",
        "examples": ["+33 6 12 34 56 78"],
    }

    def accepted(self, text: str) -> str:
        """Return the E.164 form."""
        reject_control_characters(text)
        try:
            return canonical_phone(text, self.region)
        except MissingCountryCodeError:
            raise ValidationError(ViolationCode.MISSING_COUNTRY_CODE) from None
        except InvalidAddressError:
            raise ValidationError(ViolationCode.INVALID_PHONE) from None


class FullName(Text):
    """A person's name, without characters that break lines or reverse text."""

    json_schema: ClassVar = {"minLength": 1, "maxLength": LONGEST_NAME, "examples": ["Ada Lovelace"]}

    def accepted(self, text: str) -> str:
        """Return the name without surrounding spaces."""
        reject_control_characters(text)
        reject_invisible_characters(text)
        name = text.strip()
        if not name.strip("".join(BLANKS) + " "):
            raise ValidationError(ViolationCode.TOO_SHORT)
        if len(name) > LONGEST_NAME:
            raise ValidationError(ViolationCode.TOO_LONG)
        return name


class OrganizationName(FullName):
    """An organization's name, by the same rules; its value is in NFC with single spaces."""

    json_schema: ClassVar = {"minLength": 1, "maxLength": LONGEST_NAME, "examples": ["Analytical Engines"]}

    def accepted(self, text: str) -> str:
        """Return the normalized name, which contains a letter or a digit."""
        name = " ".join(super().accepted(unicodedata.normalize("NFC", text)).split())
        if not any(character.isalnum() for character in name):
            raise ValidationError(ViolationCode.TOO_SHORT)
        return name


class Country(Text):
    """A country code."""

    json_schema: ClassVar = {"description": "ISO 3166-1 alpha-2", "pattern": "^[A-Z]{2}$", "examples": ["FR"]}

    def accepted(self, text: str) -> str:
        """Return the code if it is assigned."""
        if text not in COUNTRIES:
            raise ValidationError(ViolationCode.INVALID_COUNTRY)
        return text


class Password(Text):
    """A password; its value is normalized. Rules that involve addresses are checked in the schema."""

    longest = 4 * passwords.MAX_LENGTH
    """Before normalization, which composes letters of several code points."""
    json_schema: ClassVar = {"format": "password", "examples": ["four quiet words here"]}

    def accepted(self, text: str) -> str:
        """Return the normalized password."""
        return passwords.normalised(text)


class NewPassword(Password):
    """A password to set; the schema checks it with ``validate_password``."""

    json_schema: ClassVar = Password.json_schema | {
        "minLength": passwords.MIN_LENGTH,
        "maxLength": passwords.MAX_LENGTH,
    }


class OneOf(Text):
    """A member of an enum."""

    def __init__(self, kind: type[StrEnum], **options: Any) -> None:
        super().__init__(**options)
        self.kind = kind
        self.metadata = {"enum": [str(word) for word in kind]}

    def accepted(self, text: str) -> StrEnum:
        """Return the member."""
        try:
            return self.kind(text)
        except ValueError:
            raise ValidationError(ViolationCode.INVALID_CHOICE) from None


class Id(Text):
    """A UUID in its usual form (RFC 9562 §4), as in the paths of routes."""

    json_schema: ClassVar = {"format": "uuid", "examples": ["0192f0c4-7a3e-7cc1-9a55-3d1f0a9b8c7d"]}

    def accepted(self, text: str) -> UUID:
        """Return the UUID. Python's parser would also accept braces, prefixes and misplaced hyphens."""
        if not _UUID.fullmatch(text):
            raise ValidationError(ViolationCode.INVALID_ID)
        return UUID(text)


class TypedCode(Text):
    """A code as typed; its value has no spaces."""

    json_schema: ClassVar = {"description": "six digits, spaces or not", "examples": ["123456"]}

    def accepted(self, text: str) -> str:
        """Return the code without spaces."""
        return "".join(text.split())


class Profile(fields.Field[dict[str, Any]]):
    """The user's own fields, by the ``profiles`` of its schema. A missing profile is an empty one."""

    def __init__(self) -> None:
        messages: dict[str, Any] = {"null": ViolationCode.INVALID_TYPE}
        description = f"the fields that PROFILE_SCHEMA defines; {MAX_PROFILE_BYTES // 1024} KiB at most"
        metadata = {"type": "object", "description": description, "examples": [{"first_name": "Ada"}]}
        super().__init__(error_messages=messages, metadata=metadata)

    def deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        """Return the profile. Without ``profiles``, any given profile is rejected."""
        if self.profiles is None:
            if value is not missing:
                raise ValidationError(ViolationCode.NO_PROFILES)
            return {}
        return super().deserialize({} if value is missing else value, *rest, **more)

    def _deserialize(self, value: Any, *_rest: Any, **_more: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError(ViolationCode.INVALID_TYPE)
        if self.profiles and (violations := self.violations_in(value, self.profiles)):
            raise ValidationError(violations)
        return value

    @property
    def profiles(self) -> ProfileSchema | None:
        """The schema of profiles, if there is one."""
        found: ProfileSchema | None = getattr(self.parent, "profiles", None)
        return found

    def violations_in(self, given: dict[str, Any], profiles: ProfileSchema) -> list[Any]:
        """Return the violations of a user's new profile."""
        return profiles.violations_by_user(given) or profiles.violations_in(given)


class ProfilePatch(Profile):
    """A merge patch of the profile. The use case checks the resulting profile."""

    def violations_in(self, given: dict[str, Any], profiles: ProfileSchema) -> list[Any]:
        """Return the violations that do not depend on the present profile."""
        return profiles.violations_by_user(given)


def reject_control_characters(text: str) -> None:
    """Raise ValidationError for characters that end lines or reorder text."""
    if has_control_characters(text):
        raise ValidationError(ViolationCode.CONTROL_CHARACTER)


def reject_invisible_characters(text: str) -> None:
    """Raise ValidationError for invisible characters, with which two different names could look the same."""
    padded = f" {text} "
    for before, character, after in zip(padded, padded[1:], padded[2:], strict=False):
        is_joining = character in _JOINERS and _can_join(before, after)
        if unicodedata.category(character) in _UNSEEN_CATEGORIES and not is_joining:
            raise ValidationError(ViolationCode.CONTROL_CHARACTER)


def _can_join(before: str, after: str) -> bool:
    """Return whether a joiner is visible here, roughly by RFC 5892 Appendix A."""
    return unicodedata.combining(before) == _VIRAMA or (_is_of_a_word(before) and _is_of_a_word(after))


def _is_of_a_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM" and not character.isascii()
