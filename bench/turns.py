"""Who is compared takes turns, round after round, so that what others do on the machine meets all of them alike."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bench.report import median
from devstack.processes import ProcessError

Run = TypeVar("Run")

TRIALS = 1
"""Rounds that everybody takes part in."""
IN_THE_RUNNING = 0.7
"""Of the best rival's score: who is further behind will not be the best, and costs the others their time."""


class FailedError(Exception):
    """It was tried and did not do its work; the message says how."""


@dataclass
class Contestant(Generic[Run]):
    """Somebody to be measured. Rivals are compared among themselves; who is nobody's rival never drops out."""

    name: str
    measure: Callable[[], Run]
    rivals: str | None = None
    most: int | None = None
    """How many times to measure, where not in each round."""
    runs: list[Run] = field(default_factory=list)
    failure: str | None = None

    def take_turn(self) -> None:
        """Measure once; a rival that fails has failed for good, and the others go on."""
        try:
            self.runs.append(self.measure())
        except (FailedError, ProcessError) as error:
            if self.rivals is None:
                raise
            self.failure = str(error)


def take_turns(
    contestants: Sequence[Contestant[Run]],
    rounds: int,
    score: Callable[[Run], float],
    tell: Callable[[str], None],
) -> None:
    """Have everybody measured in each round, but for those that have failed or fallen behind."""
    for number in range(rounds):
        for contestant in in_the_running(contestants, number, score):
            contestant.take_turn()
            tell(f"round {number + 1}: {contestant.name}: {_last(contestant, score)}")


def in_the_running(
    contestants: Sequence[Contestant[Run]], rounds_done: int, score: Callable[[Run], float]
) -> list[Contestant[Run]]:
    """Return who takes part in the next round; a higher score is better."""
    standing = [contestant for contestant in contestants if not contestant.failure]
    wanted = [contestant for contestant in standing if contestant.most is None or rounds_done < contestant.most]
    if rounds_done < TRIALS:
        return wanted
    return [
        contestant
        for contestant in wanted
        if contestant.rivals is None
        or _score(contestant, score) >= IN_THE_RUNNING * _best(standing, contestant.rivals, score)
    ]


def best(contestants: Iterable[Contestant[Run]], rivals: str, score: Callable[[Run], float]) -> Contestant[Run] | None:
    """Return the rival with the highest median score, or None where there is none."""
    measured = [one for one in contestants if one.rivals == rivals and one.runs]
    return max(measured, key=lambda one: _score(one, score), default=None)


def _best(contestants: Iterable[Contestant[Run]], rivals: str, score: Callable[[Run], float]) -> float:
    found = best(contestants, rivals, score)
    return _score(found, score) if found else 0.0


def _score(contestant: Contestant[Run], score: Callable[[Run], float]) -> float:
    return median(map(score, contestant.runs))


def _last(contestant: Contestant[Run], score: Callable[[Run], float]) -> str:
    if contestant.failure:
        return f"failed: {contestant.failure.splitlines()[0]}"
    return f"{score(contestant.runs[-1]):,.4g}"
