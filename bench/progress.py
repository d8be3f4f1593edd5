"""How much longer a run is likely to take: told between its parts, some of which take minutes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Likely:
    """The seconds that a part should take by its sizes on two idle cores: reckoned, and meant beside each other."""

    full: float
    quick: float


LIKELY = {
    "draining": Likely(200, 16),
    "latency": Likely(75, 9),
    "conditions": Likely(85, 13),
    "idle": Likely(32, 22),
    "memory": Likely(64, 8),
    "registrations": Likely(75, 9),
    "enumeration": Likely(90, 8),
    "answers": Likely(16, 4),
    "claims": Likely(60, 2),
    "backlogs": Likely(50, 8),
    "wal": Likely(4, 2),
    "disk": Likely(3, 1),
    "growth": Likely(42, 2),
    "desk": Likely(36, 4),
    "notify": Likely(33, 3),
    "rendering": Likely(4, 10),
    "organizations": Likely(26, 5),
}


def seconds_left(parts: Iterable[str], took: Mapping[str, float], *, quick: bool) -> float:
    """Return how long these parts will take, where others took as long as told: this machine has its own pace."""
    expected = sum(_likely(part, quick=quick) for part in took)
    pace = sum(took.values()) / expected if expected else 1.0
    return pace * sum(_likely(part, quick=quick) for part in parts)


def _likely(part: str, *, quick: bool) -> float:
    return LIKELY[part].quick if quick else LIKELY[part].full
