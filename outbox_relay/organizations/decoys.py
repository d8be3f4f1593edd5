"""What becomes of an organization that is founded under a taken address: it fares like the others, without a database.

Whoever registers sees when their organization is ready. One that were ready sooner than others, or while the server
refuses them, would tell that its address is taken. So a decoy knocks at the server, and is turned away where a real
one would be; let in, it takes as long as one of the last real ones has taken, and while those fail, it fails.
"""

from collections.abc import Sequence

from outbox_relay.model import Failure, FailureClass

SECONDS_AT_FIRST = 0.5
"""Where no organization has been made yet."""
MEMORY_SECONDS = 30.0
"""How long the server's last refusal is a decoy's, too: after that, a real one may go ahead no more than a decoy."""


class Decoys:
    """What decoys are to go through, by what real organizations have gone through; moments are monotonic."""

    def __init__(self) -> None:
        self._failure: Failure | None = None
        self._failed_at = float("-inf")

    def saw(self, failure: Failure | None, now: float) -> None:
        """Learn how it went with a real one."""
        is_the_servers = failure is not None and failure.kind is FailureClass.PROVIDER
        self._failure, self._failed_at = (failure, now) if is_the_servers else (None, now)

    def failure(self, now: float) -> Failure | None:
        """Return what a decoy fails with now, if it does."""
        return self._failure if now - self._failed_at < MEMORY_SECONDS else None


def seconds_for_decoy(lately: Sequence[float], jitter: float) -> float:
    """Return how long a decoy takes: as long as one of the last real ones; ``jitter`` is from 0 up to 1."""
    return lately[int(jitter * len(lately))] if lately else SECONDS_AT_FIRST
