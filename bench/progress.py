"""How much longer a run is likely to take: told between its parts, some of which take minutes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Likely:
    """The seconds that a part should take by its sizes on two idle cores: reckoned, and meant beside each other."""

    full: float
    quick: float


LIKELY = {
    "draining": Likely(155, 9),
    "latency": Likely(68, 3),
    "conditions": Likely(59, 7),
    "idle": Likely(29, 19),
    "memory": Likely(32, 8),
    "registrations": Likely(38, 9),
    "enumeration": Likely(62, 6),
    "answers": Likely(9, 4),
    "claims": Likely(34, 6),
    "backlogs": Likely(46, 8),
    "wal": Likely(4, 2),
    "disk": Likely(3, 1),
    "growth": Likely(4, 2),
    "desk": Likely(25, 5),
    "notify": Likely(23, 7),
    "rendering": Likely(4, 1),
    "organizations": Likely(13, 5),
}


def seconds_left(parts: Iterable[str], took: Mapping[str, float], *, quick: bool) -> float:
    """Return how long these parts will take, where others took as long as told: this machine has its own pace."""
    expected = sum(_likely(part, quick=quick) for part in took)
    pace = sum(took.values()) / expected if expected else 1.0
    return pace * sum(_likely(part, quick=quick) for part in parts)


def _likely(part: str, *, quick: bool) -> float:
    return LIKELY[part].quick if quick else LIKELY[part].full
