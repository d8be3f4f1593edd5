"""The report: figures by name, and the goals that some of them have to reach."""

import operator
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Figure = float | str
Report = dict[str, Figure | dict[str, float]]

AT_LEAST, AT_MOST = "≥", "≤"
WITHIN = {AT_LEAST: operator.ge, AT_MOST: operator.le}
NOT_MEASURED, REACHED, MISSED = "not measured", "reached", "not reached"

DRAIN_TO_PEER = "two relays ÷ fastest peer"
NOOP_TO_PEER = "two relays ÷ fastest peer, both with a no-op sender"
CPU_TO_PEER = "CPU per 1,000 messages ÷ most frugal peer's"
LATENCY_P50 = "commit to acceptance, p50, ms"
LATENCY_P99 = "commit to acceptance, p99, ms"
LATENCY_P50_TO_PEER = "enqueueing to acceptance, p50 ÷ best peer's"
LATENCY_P99_TO_PEER = "enqueueing to acceptance, p99 ÷ best peer's"
IDLE_CPU = "idle relay, % of a core"
RELAY_MEMORY = "relay's peak memory, MB"
RELAY_GROWTH = "relay's memory at the end ÷ after the first messages"
REGISTRATIONS_TO_HASHES = "registrations/s ÷ hashes/s"
REGISTRATION_CPU = "CPU of a registration outside argon2, ms"
REGISTRATION_P99 = "registration, p99 ÷ median hash"
WAL_BYTES = "WAL per message, claimed and settled, bytes"
CLAIM_TO_EMPTY = "claim with settled messages ÷ in an empty outbox, p50"
WAIT_DELAY = "Prefer: wait, settlement to response, p95, ms"
OVERLOAD_PROBES = "flood of sign-ins: /livez and /readyz, p99, ms"
OVERLOAD_PROBES_MAX = "flood: /livez and /readyz, slowest, ms"
OVERLOAD_LOOKUP = "flood: lookup of a registration, p99, ms"
OVERLOAD_REGISTERED = "flood: share of registrations accepted within 2 s"
OVERLOAD_REJECTION = "flood: slowest rejection of a registration, ms"
OVERLOAD_HASHES = "flood: hashes/s ÷ argon2 alone, patient clients"
OVERLOAD_HASHES_IMPATIENT = "flood: hashes/s ÷ argon2 alone, impatient clients"
OVERLOAD_AFTER = "2 s after the flood: registration, ms"
OVERLOAD_GROWTH = "flood: memory of the API ÷ after 100 hashes"
OVERLOAD_GROWTH_OF_FLOODS = "five floods: memory ÷ after two"
HTTPS_CPU = "relay's CPU for an e-mail over HTTPS, ms"
ENUMERATION = "taken and free addresses: largest distance ÷ chance"


@dataclass(frozen=True)
class Goal:
    """A figure of the report and its limit."""

    figure: str
    bound: str
    limit: float


@dataclass(frozen=True)
class Judgement:
    """A goal, the value that was measured, and the verdict."""

    goal: Goal
    value: float | None
    verdict: str


GOALS = (
    Goal(DRAIN_TO_PEER, AT_LEAST, 5),
    Goal(NOOP_TO_PEER, AT_LEAST, 0.8),
    Goal(CPU_TO_PEER, AT_MOST, 0.125),
    Goal(LATENCY_P50, AT_MOST, 2),
    Goal(LATENCY_P99, AT_MOST, 5),
    Goal(LATENCY_P50_TO_PEER, AT_MOST, 1),
    Goal(LATENCY_P99_TO_PEER, AT_MOST, 1),
    Goal(HTTPS_CPU, AT_MOST, 0.6),
    Goal(IDLE_CPU, AT_MOST, 0.3),
    Goal(RELAY_MEMORY, AT_MOST, 120),
    Goal(RELAY_GROWTH, AT_MOST, 1.1),
    Goal(REGISTRATIONS_TO_HASHES, AT_LEAST, 0.85),
    Goal(REGISTRATION_CPU, AT_MOST, 4),
    Goal(REGISTRATION_P99, AT_MOST, 1.5),
    Goal(WAL_BYTES, AT_MOST, 1_200),
    Goal(CLAIM_TO_EMPTY, AT_MOST, 1.3),
    Goal(WAIT_DELAY, AT_MOST, 250),
    Goal(OVERLOAD_PROBES, AT_MOST, 250),
    Goal(OVERLOAD_PROBES_MAX, AT_MOST, 1000),
    Goal(OVERLOAD_LOOKUP, AT_MOST, 1000),
    Goal(OVERLOAD_REGISTERED, AT_LEAST, 0.5),
    Goal(OVERLOAD_REJECTION, AT_MOST, 500),
    Goal(OVERLOAD_HASHES, AT_LEAST, 0.8),
    Goal(OVERLOAD_HASHES_IMPATIENT, AT_LEAST, 0.5),
    Goal(OVERLOAD_AFTER, AT_MOST, 1000),
    Goal(OVERLOAD_GROWTH, AT_MOST, 1.2),
    Goal(OVERLOAD_GROWTH_OF_FLOODS, AT_MOST, 1.05),
    Goal(ENUMERATION, AT_MOST, 1),
)


def judge(report: Report, goals: Sequence[Goal] = GOALS) -> list[Judgement]:
    """Compare the report with the goals."""
    return [_judged(goal, report.get(goal.figure)) for goal in goals]


def _judged(goal: Goal, value: object) -> Judgement:
    if not isinstance(value, int | float):
        return Judgement(goal, None, NOT_MEASURED)
    return Judgement(goal, value, REACHED if WITHIN[goal.bound](value, goal.limit) else MISSED)


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def percentile(values: list[float], percent: int) -> float:
    """Return the value below which this share of the values lies."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def report_as_text(report: Report) -> str:
    """Format the figures in two columns."""
    return _table([(name, _formatted(value)) for name, value in report.items()])


def goals_as_text(judgements: Iterable[Judgement]) -> str:
    """Format the goals as a table with limit, measured value and verdict."""
    rows = [("goal", "limit", "measured", "")]
    for one in judgements:
        value = "" if one.value is None else _formatted(one.value)
        rows.append((one.goal.figure, f"{one.goal.bound} {_formatted(one.goal.limit)}", value, one.verdict))
    return _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _formatted(value: Figure | Mapping[str, float]) -> str:
    match value:
        case str():
            return value
        case Mapping():
            return " · ".join(f"{name} {_formatted(figure)}" for name, figure in value.items())
        case _:
            return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"  # noqa: PLR2004 - more digits mean nothing
