"""The benchmark: what Signpost does, with the machine's own limits beside it, measured in the same run.

Times of shared machines are noisy: trust the ratios. What is compared takes turns.
"""

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from operator import truediv

import click

from bench.backlogs import drain_rates
from bench.claiming import claim_times
from bench.ground import Ground, ground, mail_sink_program
from bench.outbox_costs import growth, wal_bytes
from bench.registering import answer_times, argon2_rate, commit_rate, registration_rate
from bench.relaying import acceptance_latencies, bare_sender, drain, percentile
from bench.rendering import measure_rendering
from bench.states import Amounts
from bench.waking import commit_rates

WHOLE_FROM = 100
LATENCY_EVERY = timedelta(milliseconds=20)


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    messages: int
    latencies: int
    seconds: float
    answers: int
    claims: int
    beside: Amounts


FULL = Size(
    rounds=5,
    messages=10_000,
    latencies=500,
    seconds=6,
    answers=200,
    claims=400,
    beside=Amounts(settled=1_000_000, pending=100_000, dead_tuples=500_000),
)
QUICK = Size(
    rounds=1,
    messages=5_000,
    latencies=100,
    seconds=2,
    answers=40,
    claims=20,
    beside=Amounts(settled=50_000, pending=10_000, dead_tuples=25_000),
)

Report = dict[str, float | str]


def machine() -> Report:
    """Describe where this was measured."""
    return {
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}",
        "PostgreSQL": "18, embedded, durable commits, over its socket",
        "mail sink": mail_sink_program(0).name,
    }


def relaying(ours: Ground, size: Size) -> Report:
    """Measure the relay with a full outbox."""
    pairs = [(drain(ours, size.messages), bare_sender(ours, size.messages)) for _ in range(size.rounds)]
    return {
        "drain, messages/s": median(drained.rate for drained, _ in pairs),
        "  limit: bare SMTP sender, letters/s": median(bare for _, bare in pairs),
        "  drain ÷ limit": median(drained.rate / bare for drained, bare in pairs),
        "  relay's CPU, s per 1,000": median(drained.cpu_per_thousand for drained, _ in pairs),
    }


def latency(ours: Ground, size: Size) -> Report:
    """Measure the relay with one message at a time."""
    rounds = [acceptance_latencies(ours, size.latencies, LATENCY_EVERY) for _ in range(max(1, size.rounds // 2))]
    return {
        f"commit to acceptance, p{percent}, ms": median(percentile(values, percent) for values in rounds)
        for percent in (50, 95, 99)
    }


def registering(ours: Ground, size: Size) -> Report:
    """Measure the API at saturation."""
    pairs = [(registration_rate(ours, size.seconds), argon2_rate(size.seconds)) for _ in range(size.rounds)]
    return {
        "registrations/s": median(registered for registered, _ in pairs),
        "  limit: argon2 alone on all cores, hashes/s": median(hashed for _, hashed in pairs),
        "  registrations ÷ limit": median(registered / hashed for registered, hashed in pairs),
        "  limit: three bare inserts a commit, 1 client, commits/s": commit_rate(ours, 1, size.seconds),
        "  limit: the same, 8 clients": commit_rate(ours, 8, size.seconds),
    }


def mail_and_answers(ours: Ground, size: Size) -> Report:
    """Measure one client of the API while a relay delivers."""
    pairs = [
        (answer_times(ours, size.answers, is_hanging=True), answer_times(ours, size.answers, is_hanging=False))
        for _ in range(max(1, size.rounds // 2))
    ]
    report: Report = {}
    for percent in (50, 95):
        hanging, quick = ([percentile(times, percent) for times in column] for column in zip(*pairs, strict=True))
        name = f"answer to a registration, p{percent}"
        report[f"{name}, ms"] = median(quick)
        report[f"  {name}: mail server hanging ÷ quick"] = median(map(truediv, hanging, quick))
    return report


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
    rates = drain_rates(ours, amounts, size.messages // 2, size.rounds)
    (_, alone), *others = rates.items()
    report: Report = {"drain beside nothing, messages/s": median(alone)}
    for state, measured in others:
        report[f"  {state.name} ÷ that"] = median(map(truediv, measured, alone))
    return report


def wal(ours: Ground, size: Size) -> Report:
    """Count what a message writes ahead."""
    return {f"WAL of a message, claimed and settled, {what}": value for what, value in wal_bytes(ours, size.messages)}


def growing(ours: Ground, size: Size) -> Report:
    """Count what a message costs with more of them there."""
    return {f"growth: {what}": value for what, value in growth(ours, size.beside.settled, size.messages)}


def waking(ours: Ground, size: Size) -> Report:
    """Measure what waking the relays costs those who commit."""
    rates = commit_rates(ours, size.seconds / 3, size.rounds)
    return {
        "commits/s of 16 writers, nobody woken": median(rates.unwoken),
        "  woken after the commit ÷ that": median(map(truediv, rates.after_commit, rates.unwoken)),
        "  NOTIFY inside the transaction ÷ that": median(map(truediv, rates.inside, rates.unwoken)),
    }


def rendering(_ours: Ground, _size: Size) -> Report:
    """Measure the rendering of a mail."""
    return {f"rendering: {name}": value for name, value in measure_rendering().items()}


PARTS: dict[str, Callable[[Ground, Size], Report]] = {
    "draining": relaying,
    "latency": latency,
    "registrations": registering,
    "answers": mail_and_answers,
    "claims": claiming,
    "backlogs": backlogs,
    "wal": wal,
    "growth": growing,
    "notify": waking,
    "rendering": rendering,
}


@click.command(help=f"{__doc__} With PARTS, only those.")
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--quick", is_flag=True, help="One short round of each: a look, not a measurement.")
@click.option("--json", "is_json", is_flag=True, help="The figures as one JSON object.")
def main(parts: tuple[str, ...], *, quick: bool, is_json: bool) -> None:
    """Measure and report."""
    report: Report = machine()
    with ground() as ours:
        for part in parts or PARTS:
            click.echo(f"measuring {part} …", err=True)
            report |= PARTS[part](ours, QUICK if quick else FULL)
    click.echo(json.dumps(report) if is_json else as_text(report))


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def as_text(report: Report) -> str:
    """Lay the figures out in two columns."""
    width = max(map(len, report)) + 2
    return "\n".join(f"{name:<{width}}{_figure(value)}" for name, value in report.items())


def _figure(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= WHOLE_FROM else f"{value:,.3g}"


if __name__ == "__main__":
    main()
