"""What a version 7 UUID is made of (RFC 9562 §5.7)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOSECONDS_PER_MILLISECOND = 1_000_000
_VERSION = 7
_VARIANT = 0b10


def uuid7_at(nanoseconds: int, randomness: bytes) -> UUID:
    """Compose the UUID of ``nanoseconds`` since 1970 from eight random bytes.

    48 bits of milliseconds, then 12 bits of the millisecond's fraction (§6.2, method 3), then 62 random bits.
    """
    milliseconds, rest = divmod(nanoseconds, _NANOSECONDS_PER_MILLISECOND)
    fraction = (rest << 12) // _NANOSECONDS_PER_MILLISECOND
    tail = int.from_bytes(randomness, "big") >> 2
    high = (milliseconds << 16) | (_VERSION << 12) | fraction
    return UUID(int=(high << 64) | (_VARIANT << 62) | tail)


def uuid7_floor(moment: datetime) -> UUID:
    """Return what no UUID of that moment or a later one is below, to the millisecond; none tells of one before 1970."""
    return UUID(int=((moment - EPOCH) // timedelta(milliseconds=1)) << 80)
