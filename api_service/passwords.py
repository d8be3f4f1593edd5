"""What a password must not be, and how it is kept. Decides without asking anyone: the list is embedded."""

import re
import unicodedata
from collections.abc import Iterable
from functools import partial
from importlib.resources import files
from secrets import token_urlsafe
from string import digits, punctuation, whitespace

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api_service.errors import FaultCode
from api_service.hashing import HASHERS
from shared.addresses import InvalidAddressError, canonical_email, deliverable_email

SHORTEST = 12
LONGEST = 256
"""Code points; NIST SP 800-63B §3.1.1 asks for at least 64, and a bound keeps hashing cheap."""

SHORTEST_NUMBER = 7
"""Digits after the country code and the zeros before it; with fewer, few numbers are told apart."""

COMMON = frozenset(files("api_service").joinpath("common_passwords.txt").read_text(encoding="utf-8").splitlines())

_NUMBER = re.compile(r"[0-9 ().+/-]+")
_PADDING = digits + punctuation + whitespace

# argon2id (RFC 9106) in one lane, which frees the GIL meanwhile: three times the work that OWASP's Password Storage has
# as the least (19 MiB, two passes), and nearly all the memory that the C library keeps for the next hash. Blocks of
# 32 MiB and more it gives back, and the kernel takes as long to hand out a MiB again as argon2 to go through it.
_hasher = PasswordHasher(time_cost=4, memory_cost=31 * 1024, parallelism=1)


def normalised(password: str) -> str:
    """Return the one form of a password: keyboards differ in how they compose an accent (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def fault_in(password: str, addresses: Iterable[str]) -> FaultCode | None:
    """Say what is wrong with a normalised password for someone with these addresses, if anything is."""
    if len(password) < SHORTEST:
        return FaultCode.TOO_SHORT
    if len(password) > LONGEST:
        return FaultCode.TOO_LONG
    if is_common(password):
        return FaultCode.TOO_COMMON
    if any(is_address(password, address) for address in addresses):
        return FaultCode.IS_THE_ADDRESS
    return None


def is_common(password: str) -> bool:
    """Tell whether it is blank, or the list has it as it is or without the digits and signs put after it."""
    folded = password.casefold()
    return not folded.strip() or folded in COMMON or folded.rstrip(_PADDING) in COMMON


def is_address(password: str, address: str) -> bool:
    """Tell whether the password is the address itself, however it is spelt, or the part before the at sign."""
    local, at, _domain = address.partition("@")
    if not at:
        return is_number(password, address)
    if "@" not in password:
        return canonical_email(local) == password.lower()
    return canonical_email(address) == _as_email(password)


def is_number(password: str, number: str) -> bool:
    """Tell whether the password is that phone number in E.164 form, with or without its country code."""
    if not _NUMBER.fullmatch(password):
        return False
    significant = "".join(filter(str.isdecimal, password)).lstrip("0")
    return len(significant) >= SHORTEST_NUMBER and number.endswith(significant)


def _as_email(password: str) -> str | None:
    try:
        return canonical_email(deliverable_email(password))
    except InvalidAddressError:
        return None


def hashed(password: str) -> str:
    """Hash a normalised password with argon2id; takes a tenth of a second, so do it outside any transaction."""
    return HASHERS.run(partial(_hasher.hash, password))


NOBODYS_HASH = _hasher.hash(token_urlsafe())
"""Of a password that nobody has, to be compared with where there is nobody: it takes as long."""


def is_password_of(password_hash: str, password: str) -> bool:
    """Tell whether a normalised password is the one that was hashed; takes as long as hashing."""
    try:
        return HASHERS.run(partial(_hasher.verify, password_hash, password))
    except (VerificationError, InvalidHashError):
        return False


def is_hashed_as_of_now(password_hash: str) -> bool:
    """Tell whether the hash was made with the parameters that new ones are made with."""
    return not _hasher.check_needs_rehash(password_hash)
