"""Validate e-mail addresses and phone numbers, and return their deliverable and canonical forms.

An address is stored as the user wrote it, for delivery, and in its canonical form, for comparisons. No network access.
"""

import re

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

LONGEST_EMAIL = 254
"""Octets (RFC 5321 §4.5.3.1.3, without the angle brackets)."""

# Common notations. The parser of phonenumbers accepts letters, and finds numbers within sentences.
WRITTEN_NUMBER = re.compile(r"(\+[0-9]|[0-9(])[0-9 ().-]{3,40}", re.ASCII)
"""The characters of a phone number, with its country code after a plus or without one."""

PHONE_REGIONS = phonenumbers.SUPPORTED_REGIONS
"""The ISO 3166-1 alpha-2 codes of countries with phone numbers."""

UNSUITABLE_TYPES = frozenset(
    {
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.PAGER,
        PhoneNumberType.VOICEMAIL,
    }
)
"""Types of numbers at which no person reads SMS. Some earn their owner money for each one.

Some landlines and toll-free numbers accept SMS, so they are allowed.
"""


class InvalidAddressError(ValueError):
    """The text is not a deliverable address."""


class MissingCountryCodeError(InvalidAddressError):
    """The text looks like a phone number without its country code, and there is no default region."""


def deliverable_email(text: str) -> str:
    """Return the deliverable form, with the domain in lower-case ASCII.

    The local part stays as written, in Unicode's composed form: servers with SMTPUTF8 accept it (RFC 6531). Raises
    InvalidAddressError, also for local parts that mail clients could decode as an encoded word (RFC 2047).
    """
    try:
        parsed = validate_email(text, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as error:
        raise InvalidAddressError("not an e-mail address") from error
    address = f"{parsed.local_part}@{parsed.ascii_domain}"
    if len(address.encode()) > LONGEST_EMAIL or "=?" in address:
        raise InvalidAddressError("not an e-mail address")
    return address


def ascii_email(text: str) -> str:
    """Return the deliverable form for servers without SMTPUTF8. Raises InvalidAddressError if it is not ASCII."""
    address = deliverable_email(text)
    if not address.isascii():
        raise InvalidAddressError("not an e-mail address that every mail server takes")
    return address


def canonical_email(deliverable: str) -> str:
    """Return the canonical form, in lower case.

    Local parts are case-sensitive in RFC 5321 §2.4, but not at any provider in use, and one mailbox must not have two
    accounts. Lower-casing a composed form never turns other characters into ASCII, so no two mailboxes collide.
    """
    return deliverable.lower()


def canonical_address(deliverable: str) -> str:
    """Return the canonical form of an e-mail address or an E.164 number, which is canonical already."""
    return canonical_email(deliverable) if "@" in deliverable else deliverable


def canonical_phone(text: str, region: str | None = None) -> str:
    """Return the E.164 form (``+33612345678``) of a number.

    A number without a plus is read as it is dialled in the ``region``, one of PHONE_REGIONS: ``0612345678`` or
    ``0033612345678`` in France. Raises MissingCountryCodeError if there is no region, otherwise
    InvalidAddressError, also for UNSUITABLE_TYPES.
    """
    if not WRITTEN_NUMBER.fullmatch(text):
        raise InvalidAddressError("not a phone number with its country code")
    if region is None and not text.startswith("+"):
        raise MissingCountryCodeError("not a phone number with its country code")
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        raise InvalidAddressError("not a phone number with its country code") from error
    if not phonenumbers.is_valid_number(number) or number.extension:
        raise InvalidAddressError("not a phone number that exists")
    if phonenumbers.number_type(number) in UNSUITABLE_TYPES:
        raise InvalidAddressError("not a phone number at which somebody reads SMS")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def is_local_spelling(text: str, number: str) -> bool:
    """Return whether the text is how the E.164 number is dialled within its own country."""
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(number, None))
        return canonical_phone(text, region) == number
    except (NumberParseException, InvalidAddressError):
        return False


def country_prefix(number: str) -> str:
    """Return the country code of an E.164 number, ``33`` for ``+33612345678``; ``0`` if it is invalid."""
    try:
        return str(phonenumbers.parse(number, None).country_code)
    except NumberParseException:
        return "0"
