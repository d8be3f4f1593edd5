"""Measure Signpost's speed and cost, and those of other projects that do the same work.

Without PARTS, measure everything. The report ends with a table of goals.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import click
import psycopg

from bench.claim import claim
from bench.drain import drain
from bench.enumeration import enumeration
from bench.https import https
from bench.idle import idle
from bench.latency import latency
from bench.memory import memory
from bench.overload import overload
from bench.process_usage import stolen_seconds
from bench.registrations import registrations
from bench.report import Report, goals_as_text, judge, report_as_text
from bench.rounds import PeerError
from bench.sample_mail import rendered
from bench.testbed import Testbed, postfix_sink, testbed
from bench.wait import wait
from bench.wal import wal
from devstack.processes import ProcessError
from shared.host import cpu_count
from shared.log import configure_logging
from shared.vocabulary import Locale

PARTS: dict[str, Callable[..., Report]] = {
    "drain": drain,
    "https": https,
    "latency": latency,
    "idle": idle,
    "memory": memory,
    "registrations": registrations,
    "wait": wait,
    "claim": claim,
    "wal": wal,
    "overload": overload,
    "enumeration": enumeration,
}
LONG = ("overload", "enumeration")
"""Parts that a quick look leaves out, unless they are named."""
HELP = "\n".join(f"  {name:<15}{(part.__doc__ or '').splitlines()[0]}" for name, part in PARTS.items())
STOLEN = "stolen by other machines, % of the cores"


@click.command(help=__doc__, epilog=f"\b\nParts:\n{HELP}")
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)), metavar="[PARTS]...")
@click.option("--quick", is_flag=True, help="Measure one short round, in about a minute. Figures are rough.")
@click.option("--json", "is_json", is_flag=True, help="Print figures and goals as a JSON object.")
def main(parts: Sequence[str], *, quick: bool, is_json: bool) -> None:
    """Run the parts, and print the report."""
    configure_logging("bench", "warning")  # to standard error
    report = machine() | measure(parts or [part for part in PARTS if not (quick and part in LONG)], quick=quick)
    judgements = judge(report)
    if is_json:
        click.echo(json.dumps(report | {"goals": [asdict(judgement) for judgement in judgements]}))
    else:
        shown = [one for one in judgements if one.value is not None or not parts]
        click.echo(f"{report_as_text(report)}\n\n{goals_as_text(shown)}")
    sys.exit(any(part in report for part in PARTS))


def measure(parts: Sequence[str], *, quick: bool) -> Report:
    """Run the parts one after the other, with progress on standard error."""
    report: Report = {}
    start, stolen = time.monotonic(), stolen_seconds()
    with testbed() as created:
        for number, part in enumerate(parts, 1):
            click.echo(f"{part} ({number} of {len(parts)})", err=True)
            began = time.monotonic()
            report |= _measure_part(part, created, quick=quick)
            click.echo(f"  took {time.monotonic() - began:.0f} s", err=True)
    seconds = time.monotonic() - start
    return report | {"seconds": seconds, STOLEN: (stolen_seconds() - stolen) / (seconds * cpu_count()) * 100}


def _measure_part(part: str, created: Testbed, *, quick: bool) -> Report:
    """Run one part. If it fails, the report says so, and the other parts still run."""
    try:
        return PARTS[part](created, quick=quick)
    except (PeerError, ProcessError, RuntimeError, OSError, psycopg.Error) as error:
        click.echo(f"  {part} failed: {error}", err=True)
        return {part: f"failed: {str(error).splitlines()[0]}"}


def machine() -> Report:
    """Describe the machine and the conditions that are the same for all."""
    memory_gb = int(_value_in("/proc/meminfo", "MemTotal").removesuffix(" kB") or 0) / 1024**2
    return {
        "machine": f"{_value_in('/proc/cpuinfo', 'model name') or platform.machine()}, {cpu_count()} cores, "
        f"{memory_gb:.0f} GB, Linux {platform.release()}",
        "Python": f"{platform.python_version()} in {sys.base_prefix}",
        "load at the start": f"{os.getloadavg()[0]:.1f}",
        "PostgreSQL": "18, embedded, durable commits, over its Unix socket",
        "SMTP sink": "Postfix's smtp-sink" if postfix_sink() else "bench.smtp_sink",
        "mail, bytes": len(rendered(Locale.EN)[0]),
    }


def _value_in(path: str, name: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


if __name__ == "__main__":
    main()
