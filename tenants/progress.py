"""Progress, for whoever sits before a terminal; a pipe gets the last line only."""

from collections.abc import Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tenants.databases import Failed

Outcome = TypeVar("Outcome")


def told_as_they_come(outcomes: Iterator[Outcome], count: int) -> Iterator[Outcome]:
    """Pass the outcomes on, and show how many of ``count`` there have been and how many failed."""
    columns = (
        TextColumn("organizations"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]} failed"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=count, failed=0)
        failed = 0
        for outcome in outcomes:
            failed += isinstance(outcome, Failed)
            progress.update(bar, advance=1, failed=failed)
            yield outcome
