"""Candidates measured in turns, round by round, so that other load on the machine affects all of them equally."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import click

from bench.report import median
from devstack.processes import ProcessError

Result = TypeVar("Result")
Score = Callable[[Result], float]
"""Higher is better."""

CONTENDER = 0.5
"""After the first round, peers below this share of the best peer's score are measured no more: they will not win."""


class PeerError(Exception):
    """A peer could not do its work; the message says why."""


@dataclass
class Candidate(Generic[Result]):
    """A program to measure. Peers have a group in which they compete; Signpost itself has no group."""

    name: str
    measure: Callable[[], Result]
    group: str | None = None
    results: list[Result] = field(default_factory=list)
    failure: str | None = None

    def take_turn(self) -> None:
        """Measure once. A peer that fails is recorded as failed; a failure of Signpost is raised."""
        try:
            self.results.append(self.measure())
        except (PeerError, ProcessError) as error:
            if self.group is None:
                raise
            self.failure = str(error).splitlines()[0]

    def median(self, score: Score[Result]) -> float:
        """Return the median score of all rounds."""
        return median(map(score, self.results))


def run_rounds(candidates: Sequence[Candidate[Result]], rounds: int, score: Score[Result]) -> None:
    """Measure every candidate once per round, except peers that failed or fell behind in the first round."""
    for number in range(1, rounds + 1):
        for candidate in candidates:
            candidate.take_turn()
            outcome = candidate.failure or f"{score(candidate.results[-1]):,.4g}"
            click.echo(f"  round {number}: {candidate.name}: {outcome}", err=True)
        if number == 1:
            candidates = [one for one in candidates if _is_contender(one, candidates, score)]
        candidates = [one for one in candidates if not one.failure]


def best(candidates: Iterable[Candidate[Result]], group: str, score: Score[Result]) -> Candidate[Result] | None:
    """Return the candidate of a group with the highest median score, or None if the group was not measured."""
    measured = [one for one in candidates if one.group == group and one.results]
    return max(measured, key=lambda one: one.median(score), default=None)


def ratio(one: Candidate[Result], other: Candidate[Result], score: Score[Result]) -> float:
    """Return the median of the ratios of those rounds in which both were measured."""
    return median(score(mine) / score(theirs) for mine, theirs in zip(one.results, other.results, strict=False))


def _is_contender(one: Candidate[Result], candidates: Iterable[Candidate[Result]], score: Score[Result]) -> bool:
    rival = best(candidates, one.group, score) if one.group and not one.failure else None
    return rival is None or one.median(score) >= CONTENDER * rival.median(score)
