"""One form for each address, so that two ways of writing it are found to be one.

An address is kept twice: as the person wrote it, for the message, and in its canonical form, for
every comparison. Nothing here looks at the network.
"""

import re

import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

LONGEST_EMAIL = 254
"""Octets, of the whole address (RFC 5321 §4.5.3.1.3, less the angle brackets)."""

# How most addresses look: valid by every rule that email_validator knows, and in deliverable form as they are.
# Asking it takes thirty times as long, most of it over what only occurs beyond ASCII or between quotes. A domain no
# longer than a label may be needs no look at its labels; an ending without its dot leaves it more than is special.
_PLAIN_EMAIL = re.compile(
    r"(?=.{1,64}@.{1,63}\Z)[a-z0-9]+(?:[._+-][a-z0-9]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,}"
)
_SPECIAL_ENDINGS = tuple(SPECIAL_USE_DOMAIN_NAMES)

# In the ways people write numbers. The parser of phonenumbers would take letters and fish a number out of any sentence.
WRITTEN_NUMBER = re.compile(r"\+[0-9][0-9 ().-]{4,40}", re.ASCII)
"""A phone number with its country code, as far as can be seen from its characters."""

NOBODYS_OWN = frozenset(
    {
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.PAGER,
        PhoneNumberType.VOICEMAIL,
    }
)
"""Kinds of numbers at which nobody reads an SMS; some of them pay whoever owns them for each that comes.

Landlines and toll-free numbers are not among them: there are those that take SMS.
"""


class InvalidAddressError(ValueError):
    """The text is not an address that a message could reach."""


def deliverable_email(text: str) -> str:
    """Return the address in the form that mails are sent to: its domain in lower-case ASCII.

    The local part stays as written, and one beyond ASCII in Unicode's composed form: mail servers that
    offer SMTPUTF8 take it (RFC 6531). Raises InvalidAddressError, also for local parts that a mail
    reader could take for an encoded word (RFC 2047).
    """
    if is_plain_email(text):
        return text
    try:
        parsed = validate_email(text, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as error:
        raise InvalidAddressError("not an e-mail address") from error
    address = f"{parsed.local_part}@{parsed.ascii_domain}"
    if len(address.encode()) > LONGEST_EMAIL or "=?" in address:
        raise InvalidAddressError("not an e-mail address")
    return address


def is_plain_email(text: str) -> bool:
    """Tell whether the text is an address of the plainest kind, whose deliverable form is the text itself."""
    return bool(_PLAIN_EMAIL.fullmatch(text)) and not text.endswith(_SPECIAL_ENDINGS)


def ascii_email(text: str) -> str:
    """Return the address in the form that every mail server takes. Raises InvalidAddressError, also beyond ASCII."""
    address = deliverable_email(text)
    if not address.isascii():
        raise InvalidAddressError("not an e-mail address that every mail server takes")
    return address


def canonical_email(deliverable: str) -> str:
    """Return the form in which addresses are compared.

    Local parts are case-sensitive by RFC 5321 §2.4, but no provider in use treats them so, and two
    accounts for one mailbox would be a trap. What is composed already, as a deliverable form is, never
    becomes ASCII here: no address beyond it can pass for one within.
    """
    return deliverable.lower()


def canonical_address(deliverable: str) -> str:
    """Return the form in which addresses of either kind are compared; an E.164 number has but one."""
    return canonical_email(deliverable) if "@" in deliverable else deliverable


def canonical_phone(text: str) -> str:
    """Return the number in E.164 form (``+33612345678``); it must be written with its country code.

    Raises InvalidAddressError, also for numbers at which nobody reads an SMS.
    """
    if not WRITTEN_NUMBER.fullmatch(text):
        raise InvalidAddressError("not a phone number with its country code")
    try:
        number = phonenumbers.parse(text, None)
    except NumberParseException as error:
        raise InvalidAddressError("not a phone number with its country code") from error
    if not phonenumbers.is_valid_number(number) or number.extension:
        raise InvalidAddressError("not a phone number that exists")
    if phonenumbers.number_type(number) in NOBODYS_OWN:
        raise InvalidAddressError("not a phone number at which somebody reads SMS")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def country_prefix(number: str) -> str:
    """Return what an E.164 number begins with by its country: ``33`` of ``+33612345678``; ``0`` of what is none."""
    try:
        return str(phonenumbers.parse(number, None).country_code)
    except NumberParseException:
        return "0"
