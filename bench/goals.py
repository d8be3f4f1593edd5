"""What is aimed at, and whether a run reached it. Pure: figures in, verdicts out.

A goal names its figure as the report does. What was not measured is neither reached nor missed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.report import Report, figure


class Verdict(StrEnum):
    """How a goal stands."""

    REACHED = "reached"
    NOT_REACHED = "not reached"
    NOT_MEASURED = "not measured"


class Bound(StrEnum):
    """Which side of the limit is the good one."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True)
class Goal:
    """One figure of the report, and its limit."""

    figure: str
    bound: Bound
    limit: float


@dataclass(frozen=True)
class Judgement:
    """A goal beside what was measured."""

    goal: Goal
    found: float | None
    verdict: Verdict


DRAIN_TO_PEER = "drain ÷ fastest peer"
DRAIN_TO_PREPARED_PEER = "drain ÷ fastest peer with our sender"
DRAIN_TO_BARE = "drain ÷ bare sender"
NOTHING_TO_PEER = "drain doing nothing ÷ fastest peer doing nothing"
CPU_TO_PEER = "CPU per 1,000 ÷ best peer's"
LATENCY_P50 = "commit to acceptance, p50, ms"
LATENCY_P99 = "commit to acceptance, p99, ms"
LATENCY_P50_TO_PEER = "commit to acceptance, p50 ÷ best peer's"
LATENCY_P99_TO_PEER = "commit to acceptance, p99 ÷ best peer's"
ROUND_TRIP_TO_LIMIT = "drain over 20 ms ÷ connections per round trip"
TWO_TO_ONE = "two relays ÷ one, doing nothing"
IDLE_CPU = "idle relay, % of a core"
IDLE_STATEMENTS = "idle relay, statements a poll interval"
RELAY_MEMORY = "relay's memory at its highest, MB"
RELAY_GROWTH = "relay's memory at the end ÷ after 10,000"
REGISTRATIONS_TO_LIMIT = "registrations ÷ argon2 alone"
REGISTRATION_CPU = "CPU of a registration outside argon2, ms"
SETTLED_TO_NONE = "drain with 1,000,000 settled ÷ none"
PENDING_TO_NONE = "drain with 1,000,000 pending ÷ none"
OLD_TO_NONE = "drain with an old transaction ÷ none"
REGISTRATION_P99 = "registration p99 ÷ (one hash + one bare commit)"
TELLING = "known and unknown addresses: distance ÷ what chance allows"
NOTIFY_COST = "cost of NOTIFY on commits at 16 writers, %"
WAL_BYTES = "WAL a message, claimed and settled, bytes"
DESK_MILLISECONDS = "desk: the slowest question, ms at the database"
DESK_PAGES = "desk: last pages ÷ first pages"
STATEMENTS_GROWTH = "growth: statements a message, among many ÷ among few"
ROWS_GROWTH = "growth: rows written a message, among many ÷ among few"
WAL_GROWTH = "growth: WAL a message, among many ÷ among few"

GOALS = (
    Goal(DRAIN_TO_PEER, Bound.AT_LEAST, 8),
    Goal(DRAIN_TO_PREPARED_PEER, Bound.AT_LEAST, 4),
    Goal(DRAIN_TO_BARE, Bound.AT_LEAST, 0.7),
    Goal(NOTHING_TO_PEER, Bound.AT_LEAST, 0.8),
    Goal(CPU_TO_PEER, Bound.AT_MOST, 1 / 8),
    Goal(LATENCY_P50, Bound.AT_MOST, 2),
    Goal(LATENCY_P99, Bound.AT_MOST, 5),
    Goal(LATENCY_P50_TO_PEER, Bound.AT_MOST, 1),
    Goal(LATENCY_P99_TO_PEER, Bound.AT_MOST, 1),
    Goal(ROUND_TRIP_TO_LIMIT, Bound.AT_LEAST, 0.9),
    Goal(SETTLED_TO_NONE, Bound.AT_LEAST, 0.9),
    Goal(PENDING_TO_NONE, Bound.AT_LEAST, 0.9),
    Goal(OLD_TO_NONE, Bound.AT_LEAST, 0.5),
    Goal(TWO_TO_ONE, Bound.AT_LEAST, 1.4),
    Goal(IDLE_CPU, Bound.AT_MOST, 0.2),
    Goal(IDLE_STATEMENTS, Bound.AT_MOST, 2),
    Goal(RELAY_MEMORY, Bound.AT_MOST, 120),
    Goal(RELAY_GROWTH, Bound.AT_MOST, 1.1),
    Goal(REGISTRATIONS_TO_LIMIT, Bound.AT_LEAST, 0.85),
    Goal(REGISTRATION_CPU, Bound.AT_MOST, 4),
    Goal(REGISTRATION_P99, Bound.AT_MOST, 1.5),
    Goal(TELLING, Bound.AT_MOST, 1),
    Goal(NOTIFY_COST, Bound.AT_MOST, 3),
    Goal(WAL_BYTES, Bound.AT_MOST, 1_200),
    Goal(DESK_MILLISECONDS, Bound.AT_MOST, 200),
    Goal(DESK_PAGES, Bound.AT_MOST, 1.5),
    Goal(STATEMENTS_GROWTH, Bound.AT_MOST, 1.1),
    Goal(ROWS_GROWTH, Bound.AT_MOST, 1.1),
    Goal(WAL_GROWTH, Bound.AT_MOST, 1.1),
)


def judge(report: Report, goals: Sequence[Goal] = GOALS) -> list[Judgement]:
    """Hold the report against the goals."""
    return [_judged(goal, report.get(goal.figure)) for goal in goals]


def _judged(goal: Goal, found: object) -> Judgement:
    if not isinstance(found, int | float):
        return Judgement(goal, None, Verdict.NOT_MEASURED)
    return Judgement(goal, found, Verdict.REACHED if _is_within(goal, found) else Verdict.NOT_REACHED)


def _is_within(goal: Goal, found: float) -> bool:
    match goal.bound:
        case Bound.AT_LEAST:
            return found >= goal.limit
        case Bound.AT_MOST:
            return found <= goal.limit


def goals_as_text(judgements: Iterable[Judgement]) -> str:
    """Lay the goals out as a table: figure, limit, what was found, verdict."""
    rows = [
        (
            one.goal.figure,
            f"{one.goal.bound} {figure(one.goal.limit)}",
            "" if one.found is None else figure(one.found),
            one.verdict.value,
        )
        for one in judgements
    ]
    widths = [max(map(len, column)) for column in zip(("goal", "limit", "found", ""), *rows, strict=True)]
    lines = [("goal", "limit", "found", ""), *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
