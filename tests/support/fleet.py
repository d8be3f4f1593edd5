"""Several relays on one database, and ways to do them harm."""

import os
import random
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.databases import Database
from tests.support.freezing import freeze, thaw
from tests.support.relays import RunningRelay, running_relay

HURRIED = {
    "RELAY_BATCH_SIZE": "25",
    "RELAY_LEASE_SECONDS": "6",
    "RELAY_SEND_SECONDS": "2",
    "RELAY_CONNECTIONS": "3",
}
"""Leases that a test can outwait, and little in hand, so that a message is seldom unlucky twice.

They leave four seconds between the last moment to take a letter and the lease's end: a relay that a busy
machine starves for longer would send twice without anyone having harmed it.
"""


class Fleet:
    """Relays that can be killed and stopped; the place of a dead one is taken by the next."""

    def __init__(self, database: Database, settings: dict[str, str], count: int) -> None:
        self._database = database
        self._settings = HURRIED | settings
        self._endings = [ExitStack() for _ in range(count)]
        self.relays = [self._started(ending) for ending in self._endings]

    def kill(self, number: int) -> None:
        """End one as a power cut would."""
        self.relays[number].kill()

    def replace(self, number: int) -> None:
        self._endings[number].close()
        self.relays[number] = self._started(self._endings[number])

    def close(self) -> None:
        for ending in self._endings:
            ending.close()

    def _started(self, ending: ExitStack) -> RunningRelay:
        return ending.enter_context(running_relay(self._database, **self._settings))


@contextmanager
def fleet_of(count: int, database: Database, **settings: str) -> Iterator[Fleet]:
    """Run that many relays, and wait until all of them claim."""
    fleet = Fleet(database, settings, count)
    try:
        for relay in fleet.relays:
            relay.wait_until_ready()
        yield fleet
    finally:
        fleet.close()


def stop(relay: RunningRelay) -> None:
    """Freeze it, and return when it stands still."""
    freeze(relay.pid)


def go_on(relay: RunningRelay) -> None:
    thaw(relay.pid)


def times(count: int) -> int:
    """Return so many; CHAOS_TIMES makes what goes on at random that many times as long."""
    return count * int(os.environ.get("CHAOS_TIMES", "1"))


def seeded() -> random.Random:
    """Return the jitter of a test; CHAOS_SEED repeats the throws that an earlier one has printed."""
    seed = os.environ.get("CHAOS_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"CHAOS_SEED={seed}\n")  # pytest shows it where a test fails
    return random.Random(seed)
