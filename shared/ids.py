"""Ids that contain their time: UUID version 7 (RFC 9562 §5.7)."""

import os
import time
from datetime import UTC, datetime
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOSECONDS_PER_MILLISECOND = 1_000_000
_VERSION = 7
_VARIANT = 0b10


def uuid7() -> UUID:
    """Return a UUID of the current time. The clock is this host's, so the order between hosts is approximate."""
    return uuid7_at(time.time_ns(), os.urandom(8))


def uuid7_at(nanoseconds: int, randomness: bytes) -> UUID:
    """Return the UUID of ``nanoseconds`` since 1970 with eight random bytes.

    48 bits of milliseconds, then 12 bits of the millisecond's fraction (§6.2, method 3), then 62 random bits.
    """
    milliseconds, rest = divmod(nanoseconds, _NANOSECONDS_PER_MILLISECOND)
    fraction = (rest << 12) // _NANOSECONDS_PER_MILLISECOND
    tail = int.from_bytes(randomness, "big") >> 2
    high = (milliseconds << 16) | (_VERSION << 12) | fraction
    return UUID(int=(high << 64) | (_VARIANT << 62) | tail)
