"""Several relays on one database, and helpers to disturb them."""

import os
import random
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.databases import Database
from tests.support.freezing import freeze, thaw
from tests.support.relays import RunningRelay, running_relay

SHORT_LEASES = {
    "RELAY_BATCH_SIZE": "25",
    "RELAY_LEASE_SECONDS": "6",
    "RELAY_SEND_SECONDS": "2",
    "RELAY_CONNECTIONS": "3",
}
"""Short leases that a test can outwait, and small batches, so that a message is seldom disturbed twice.

}A lease ends four seconds after the last moment to start a send. A relay that a busy machine stops
}for longer would send a copy without any disturbance by the test.
}"""


class RelayGroup:
    """Relays that a test can kill, freeze and replace."""

    def __init__(self, database: Database, settings: dict[str, str], count: int) -> None:
        self._database = database
        self._settings = SHORT_LEASES | settings
        self._endings = [ExitStack() for _ in range(count)]
        self.relays = [self._started(ending) for ending in self._endings]

    def kill(self, number: int) -> None:
        """Kill one relay, as a power cut would."""
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
def relay_group(count: int, database: Database, **settings: str) -> Iterator[RelayGroup]:
    """Run that many relays, and wait until all of them claim."""
    group = RelayGroup(database, settings, count)
    try:
        for relay in group.relays:
            relay.wait_until_ready()
        yield group
    finally:
        group.close()


def stop(relay: RunningRelay) -> None:
    """Freeze the relay, and return once it has stopped."""
    freeze(relay.pid)


def resume(relay: RunningRelay) -> None:
    thaw(relay.pid)


def times(count: int) -> int:
    """Return ``count`` times CHAOS_TIMES, which makes random tests longer."""
    return count * int(os.environ.get("CHAOS_TIMES", "1"))


def seeded() -> random.Random:
    """Return the random numbers of a test. CHAOS_SEED repeats those of an earlier run, which printed its seed."""
    seed = os.environ.get("CHAOS_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"CHAOS_SEED={seed}\n")  # pytest shows this when a test fails
    return random.Random(seed)
