"""Password rules and hashes (argon2id). The list of common passwords is part of the package."""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterable
from importlib.resources import files
from secrets import token_bytes
from string import digits, punctuation, whitespace

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from api_service.errors import ViolationCode
from shared.addresses import InvalidAddressError, canonical_email, deliverable_email, is_local_spelling

MIN_LENGTH = 12
MAX_LENGTH = 256
"""Code points. NIST SP 800-63B §3.1.1 asks for at least 64; an upper bound limits the cost of hashing."""

SHORTEST_NUMBER = 7
"""Digits without country code and leading zeros; fewer match too many phone numbers."""

COMMON = frozenset(
    files("api_service.security").joinpath("common_passwords.txt").read_text(encoding="utf-8").splitlines()
)

_NUMBER = re.compile(r"[0-9 ().+/-]+")
_PADDING = digits + punctuation + whitespace

# argon2id (RFC 9106) in one lane, which releases the GIL: three times the work of OWASP's minimum (19 MiB, two
# passes). The memory stays below 32 MiB, because malloc returns larger blocks to the kernel, and getting zeroed pages
# again takes as long as hashing through them.
_hasher = PasswordHasher(time_cost=4, memory_cost=31 * 1024, parallelism=1)


def normalised(password: str) -> str:
    """Return the NFKC form of a password: keyboards compose accents differently."""
    return unicodedata.normalize("NFKC", password)


def violation_in(password: str, addresses: Iterable[str]) -> ViolationCode | None:
    """Return the violation of a normalized password for an account with these addresses, if any."""
    if len(password) < MIN_LENGTH:
        return ViolationCode.TOO_SHORT
    if len(password) > MAX_LENGTH:
        return ViolationCode.TOO_LONG
    if is_common(password):
        return ViolationCode.TOO_COMMON
    if any(is_address(password, address) for address in addresses):
        return ViolationCode.IS_THE_ADDRESS
    return None


def is_common(password: str) -> bool:
    """Return whether the password is blank or in the list, also without trailing digits and signs."""
    folded = password.casefold()
    return not folded.strip() or folded in COMMON or folded.rstrip(_PADDING) in COMMON


def is_address(password: str, address: str) -> bool:
    """Return whether the password is the address in any spelling, or its local part."""
    local, at, _domain = address.partition("@")
    if not at:
        return is_number(password, address)
    if "@" not in password:
        return canonical_email(local) == password.lower()
    return canonical_email(address) == _as_email(password)


def is_number(password: str, number: str) -> bool:
    """Return whether the password is this E.164 number, with or without country code or trunk prefix."""
    if not _NUMBER.fullmatch(password):
        return False
    significant = "".join(filter(str.isdecimal, password)).lstrip("0")
    is_end = len(significant) >= SHORTEST_NUMBER and number.endswith(significant)
    return is_end or is_local_spelling(password, number)  # such as 8 912 345-67-89 for +79123456789


def _as_email(password: str) -> str | None:
    try:
        return canonical_email(deliverable_email(password))
    except InvalidAddressError:
        return None


def hash_password(password: str) -> str:
    """Hash a normalized password with argon2id. Takes a tenth of a second of a core: see ``hash_pool``."""
    return _hasher.hash(password)


def _random_hash() -> str:
    """Return random bytes as a hash with the current parameters. To hash a password would delay the start by 0.1 s."""
    lengths = (_hasher.salt_len, _hasher.hash_len)
    salt, digest = (b64encode(token_bytes(length)).decode().rstrip("=") for length in lengths)
    costs = f"m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${costs}${salt}${digest}"


DUMMY_HASH = _random_hash()
"""A hash that no known password has, compared where no account exists so that the response takes as long."""


def verify_password(password_hash: str, password: str) -> bool:
    """Return whether a normalized password matches the hash. Takes as long as hashing."""
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def is_current_hash(password_hash: str) -> bool:
    """Return whether the hash has the current parameters."""
    return not _hasher.check_needs_rehash(password_hash)
