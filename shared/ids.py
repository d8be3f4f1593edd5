"""Identifiers that carry their time, so that the outbox can be partitioned by its own key."""

import os
import time
from uuid import UUID

from shared.uuid7 import uuid7_at


def uuid7() -> UUID:
    """Return a version 7 UUID of the present moment.

    The clock is this process's own: order between hosts is only approximate.
    """
    return uuid7_at(time.time_ns(), os.urandom(8))
