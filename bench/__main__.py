"""The benchmark: what Signpost does, with its peers and the machine's own limits beside it, measured in the same run.

Times of shared machines are noisy: trust the ratios. What is compared takes turns.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from operator import truediv

import click
import psycopg

from bench.backlogs import drain_rates
from bench.claiming import claim_times
from bench.conditions import conditions
from bench.contest import draining, latency
from bench.desk import desk
from bench.disk import disk_bytes
from bench.distances import critical_distance, distance
from bench.goals import (
    NOTIFY_COST,
    OLD_TO_NONE,
    PENDING_TO_NONE,
    REGISTRATION_CPU,
    REGISTRATION_P99,
    REGISTRATIONS_TO_LIMIT,
    ROWS_GROWTH,
    SETTLED_TO_NONE,
    STATEMENTS_GROWTH,
    TELLING,
    WAL_BYTES,
    WAL_GROWTH,
    goals_as_text,
    judge,
)
from bench.ground import Ground, ground
from bench.machine import machine
from bench.organizations import organizations
from bench.outbox_costs import growth, wal_bytes
from bench.progress import seconds_left
from bench.registering import answer_times, commit_rate
from bench.rendering import measure_rendering
from bench.report import Report, as_text, median, percentile
from bench.saturation import hash_to_hash, saturated, serving, spent_hardly_hashing, times_with_cores, to_parts
from bench.sizes import FULL, QUICK, Size
from bench.standing import idle, memory
from bench.telling import answer_times_by_kind
from bench.turns import FailedError
from bench.usage import stolen_seconds
from bench.waking import waking_costs
from devstack.processes import ProcessError
from shared.cores import cores
from shared.log import configure_logging


def registering(ours: Ground, size: Size) -> Report:
    """Measure the API at saturation."""
    with serving(ours) as (port, _pid):
        rates = saturated(port, size.saturated_turns, seconds=1)
        turns = times_with_cores(ours, port, size.timed_turns)
    unhashed = spent_hardly_hashing(ours, size.slow_rounds, size.seconds)
    return {
        "registrations/s": median(one.registrations for one in rates),
        "  limit: argon2 alone on all cores, hashes/s": median(one.hashes for one in rates),
        REGISTRATIONS_TO_LIMIT: median(one.registrations / one.hashes for one in rates),
        REGISTRATION_CPU: median(one.cpu_each * 1000 for one in unhashed),
        "  and PostgreSQL's, ms": median(one.store_cpu_each * 1000 for one in unhashed),
        REGISTRATION_P99: to_parts(turns, 99),
        "  the same, p50": to_parts(turns, 50),
        "  limit: one hash and one bare commit, ms": median(one.parts for one in turns),
        "  limit: a hash's own p99 ÷ its median": hash_to_hash(turns, 99),
        "  limit: three bare inserts a commit, 1 client, commits/s": commit_rate(ours, 1, size.seconds),
        "  limit: the same, 8 clients": commit_rate(ours, 8, size.seconds),
    }


def mail_and_answers(ours: Ground, size: Size) -> Report:
    """Measure one client of the API while a relay delivers."""
    hanging, quick = answer_times(ours, size.answers)
    report: Report = {}
    for percent in (50, 95):
        name = f"answer to a registration, p{percent}"
        report[f"{name}, ms"] = percentile(quick, percent)
        report[f"  {name}: mail server hanging ÷ quick"] = percentile(hanging, percent) / percentile(quick, percent)
    return report


def enumeration(ours: Ground, size: Size) -> Report:
    """Measure whether the time of an answer tells if an address has an account."""
    distances = {name: distance(*kinds) for name, kinds in answer_times_by_kind(ours, size.samples).items()}
    report: Report = {f"  {name}: distance": found for name, found in distances.items()}
    return report | {TELLING: max(distances.values()) / critical_distance(size.samples)}


def claiming(ours: Ground, size: Size) -> Report:
    """Measure claims beside what a busy outbox gathers."""
    first, *others = claim_times(ours, size.beside, size.claims)
    report: Report = {}
    for percent in (50, 95):
        shortest = percentile(first.claims, percent)
        report[f"claim of 100, nothing else there, p{percent}, ms"] = shortest
        for times in others:
            report[f"  {times.state.name}, p{percent} ÷ that"] = percentile(times.claims, percent) / shortest
    report["sweep and claim of 100, nothing else there, p50, ms"] = median(first.sweeps)
    for times in others:
        report[f"  {times.state.name}, sweep ÷ that"] = median(times.sweeps) / median(first.sweeps)
    return report


def backlogs(ours: Ground, size: Size) -> Report:
    """Measure the relay with a full outbox beside what a busy outbox gathers."""
    amounts = replace(size.beside, pending=size.beside.settled)
    rates = drain_rates(ours, amounts, size.messages, size.slow_rounds)
    alone, *others = rates.values()
    names = (SETTLED_TO_NONE, PENDING_TO_NONE, OLD_TO_NONE)
    report: Report = {"drain beside nothing, messages/s": median(alone)}
    return report | {name: median(map(truediv, other, alone)) for name, other in zip(names, others, strict=True)}


def wal(ours: Ground, size: Size) -> Report:
    """Count what a message writes ahead."""
    return dict(zip((WAL_BYTES, "  the same, right after a checkpoint"), wal_bytes(ours, size.messages), strict=True))


def keeping(ours: Ground, size: Size) -> Report:
    """Measure what stays on the disk of a million registrations."""
    kept = disk_bytes(ours, size.messages)
    return {
        "disk, a million users and tokens, GB": kept.account / 1000,
        "disk, a million messages pending, GB": kept.pending / 1000,
        "  the same once settled, GB": kept.settled / 1000,
        "  the same without what claims and settles leave behind, GB": kept.vacuumed / 1000,
    }


def growing(ours: Ground, size: Size) -> Report:
    """Count what a message costs with more of them there."""
    grown = growth(ours, size.growth, size.messages)
    return {
        STATEMENTS_GROWTH: grown.statements,
        ROWS_GROWTH: grown.rows_written,
        WAL_GROWTH: grown.wal_bytes,
        "  index entries read, likewise": grown.index_entries_read,
    }


def waking(ours: Ground, size: Size) -> Report:
    """Measure what waking the relays costs those who commit."""
    costs = waking_costs(ours, size.waking_pairs)
    return {
        "commits/s of 16 writers, nobody woken": costs.unwoken,
        NOTIFY_COST: median(costs.after_commit),
        "  give or take, by chance": costs.standard_error,
    }


def rendering(_ours: Ground, size: Size) -> Report:
    """Measure the rendering of a mail."""
    return {f"rendering: {name}": value for name, value in measure_rendering(size.renderings).items()}


PARTS: dict[str, Callable[[Ground, Size], Report]] = {
    "draining": draining,
    "latency": latency,
    "conditions": conditions,
    "idle": idle,
    "memory": memory,
    "registrations": registering,
    "enumeration": enumeration,
    "answers": mail_and_answers,
    "claims": claiming,
    "backlogs": backlogs,
    "wal": wal,
    "disk": keeping,
    "growth": growing,
    "desk": desk,
    "notify": waking,
    "rendering": rendering,
    "organizations": organizations,
}

LENGTHY = ("idle", "memory", "enumeration", "answers", "claims", "backlogs", "desk", "notify", "organizations")
"""Parts that a look leaves out unless asked for them: what they measure takes time, many tries, or a million rows."""


STOLEN_SHARE = "of the cores, stolen by other machines, %"


def parts_of(asked: Sequence[str], *, quick: bool) -> list[str]:
    """Return what is to be measured: what was asked for, or all of it; of a look, what can be quick."""
    return list(asked) or [part for part in PARTS if not (quick and part in LENGTHY)]


def measured(parts: Sequence[str], *, quick: bool) -> Report:
    """Measure the parts one after the other, and say before each how long they are likely to take together."""
    report: Report = {}
    took: dict[str, float] = {}
    lost: dict[str, float] = {}
    with ground() as ours:
        for number, part in enumerate(parts):
            left = seconds_left(parts[number:], took, quick=quick)
            click.echo(f"measuring {part} ({number + 1} of {len(parts)}; about {left:.0f} s left) …", err=True)
            began, stolen = time.monotonic(), stolen_seconds()
            report |= measured_part(part, ours, QUICK if quick else FULL)
            took[part] = time.monotonic() - began
            lost[part] = stolen_seconds() - stolen
            click.echo(
                f"  took {took[part]:.0f} s, {_share(lost[part], took[part]):.0f} % of the cores stolen", err=True
            )
    whole = sum(took.values())
    return report | {"seconds that it took": whole, STOLEN_SHARE: _share(sum(lost.values()), whole)}


def _share(stolen: float, seconds: float) -> float:
    return stolen / (seconds * cores()) * 100


def measured_part(part: str, ours: Ground, size: Size) -> Report:
    """Measure one part; one that breaks is told of, and costs nobody the others, which took minutes."""
    try:
        return PARTS[part](ours, size)
    except (FailedError, ProcessError, RuntimeError, OSError, psycopg.Error) as error:
        click.echo(f"  {part} failed: {error}", err=True)
        return {part: f"failed: {str(error).splitlines()[0]}"}


@click.command(help=f"{__doc__} With PARTS, only those.")
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--quick", is_flag=True, help="One short round of what can be quick: a look, not a measurement.")
@click.option("--json", "is_json", is_flag=True, help="The figures and goals as one JSON object.")
def main(parts: Sequence[str], *, quick: bool, is_json: bool) -> None:
    """Measure, report, and hold against the goals."""
    configure_logging("bench", "warning")  # to standard error: the report stands alone
    report: Report = machine() | measured(parts_of(parts, quick=quick), quick=quick)
    judgements = judge(report)
    if is_json:
        click.echo(json.dumps(report | {"goals": [asdict(judgement) for judgement in judgements]}))
    else:
        click.echo(f"{as_text(report)}\n\n{goals_as_text(judgements)}")
    sys.exit(any(part in report for part in PARTS))


if __name__ == "__main__":
    main()
