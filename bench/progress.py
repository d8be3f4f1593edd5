"""How much longer a run is likely to take: told between its parts, some of which take minutes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Likely:
    """The seconds that a part should take by its sizes on two idle cores: reckoned, and meant beside each other."""

    full: float
    quick: float


LIKELY = {
    "draining": Likely(190, 16),
    "latency": Likely(90, 9),
    "conditions": Likely(60, 13),
    "idle": Likely(27, 22),
    "memory": Likely(40, 8),
    "registrations": Likely(45, 9),
    "enumeration": Likely(35, 8),
    "answers": Likely(12, 4),
    "claims": Likely(55, 2),
    "backlogs": Likely(80, 8),
    "wal": Likely(5, 2),
    "disk": Likely(6, 1),
    "growth": Likely(35, 2),
    "desk": Likely(50, 4),
    "notify": Likely(30, 3),
    "rendering": Likely(10, 10),
    "organizations": Likely(15, 5),
}


def seconds_left(parts: Iterable[str], took: Mapping[str, float], *, quick: bool) -> float:
    """Return how long these parts will take, where others took as long as told: this machine has its own pace."""
    expected = sum(_likely(part, quick=quick) for part in took)
    pace = sum(took.values()) / expected if expected else 1.0
    return pace * sum(_likely(part, quick=quick) for part in parts)


def _likely(part: str, *, quick: bool) -> float:
    return LIKELY[part].quick if quick else LIKELY[part].full
