"""Bulk acts from the command line: carried on in the foreground with their progress, listed, stopped, resumed."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from operator_console.acting import (
    Action,
    Bulk,
    BulkPlan,
    BulkStatus,
    UnknownBulkError,
    begin_bulk,
    count_chosen,
    list_bulks,
    resume_bulk,
    step_bulk,
    stop_bulk,
)
from operator_console.cli.audited import act_because
from operator_console.cli.database import complain, database, fail, sessions
from operator_console.cli.interrupts import finished_first
from operator_console.cli.options import json_option, reason_option
from operator_console.cli.output import show_rows
from operator_console.views import as_json
from shared.engine import was_undone

LISTED = ("id", "status", "action", "found", "acted", "skipped", "per_minute", "operator", "created_at", "reason")
SHORTEST_WAIT_SECONDS = 0.01
LONGEST_WAIT_SECONDS = 1.0
"""Between two looks: whoever stops it elsewhere is heeded within it."""
DONE = {Action.REQUEUE: "requeued", Action.DISCARD: "discarded"}


def run_plan(plan: BulkPlan, reason: str, *, is_dry_run: bool, is_sure: bool) -> None:
    """Count what is meant, ask, and carry the bulk act on until it is done or stopped."""
    with sessions() as made:
        with made.begin() as session:
            found = count_chosen(session, plan.wanted)
        click.echo(f"{found} dead messages would be {DONE[plan.action]}" if is_dry_run else f"{found} dead messages")
        if is_dry_run or not found:
            return
        _confirm(plan, found, is_sure=is_sure)
        act = act_because(reason)
        carry_on(made, lambda session: begin_bulk(session, plan, act))


def _pause(bulk: Bulk) -> float:
    """Return how long to wait before the next step; a little at least, since somebody else may be at it."""
    return max(SHORTEST_WAIT_SECONDS, min(bulk.wait.total_seconds(), LONGEST_WAIT_SECONDS))


def _confirm(plan: BulkPlan, found: int, *, is_sure: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody is there to ask whether that is meant: say --yes.")
    click.confirm(f"Have {found} messages {DONE[plan.action]}?", abort=True)


def carry_on(made: sessionmaker[Session], begin: Callable[[Session], Bulk]) -> None:
    """Begin, and make step after step, as the rate allows; an interrupt stops it, for `bulk resume` to go on."""
    bulk = None
    try:
        with finished_first(), made.begin() as session:
            bulk = begin(session)
        with _progress(bulk) as progress:
            while bulk.status == BulkStatus.RUNNING:
                bulk = _stepped(made, bulk)
                progress(bulk)
                if bulk.status == BulkStatus.RUNNING:
                    time.sleep(_pause(bulk))
    except KeyboardInterrupt:
        if bulk is None:
            raise
        bulk = _stopped(made, bulk.id)
    _tell(bulk)


def _stopped(made: sessionmaker[Session], bulk_id: UUID) -> Bulk:
    """Stop it, and say so if another interrupt comes before that is done: the console would go on with it."""
    try:
        with made.begin() as session:
            return stop_bulk(session, bulk_id, act_because("interrupted"))
    except KeyboardInterrupt:
        fail(f"bulk act {bulk_id} goes on: `outboxctl bulk stop {bulk_id} --reason …` stops it")


def _stepped(made: sessionmaker[Session], bulk: Bulk) -> Bulk:
    """Make a step; one that gave way to others, and was undone as a whole, is simply not made yet."""
    try:
        with finished_first(), made.begin() as session:
            return step_bulk(session, bulk.id)
    except DBAPIError as error:
        if was_undone(error):
            return bulk
        complain(f"bulk act {bulk.id} is not done: `outboxctl bulk resume {bulk.id} --reason …` goes on")
        raise


@contextmanager
def _progress(begun: Bulk) -> Iterator[Callable[[Bulk], None]]:
    """Show a bar on a terminal, on standard error, and nothing in a pipe; yield what moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        line = bar.add_task(begun.action, total=begun.found, completed=begun.done)
        yield lambda bulk: bar.update(line, completed=bulk.done)


def _tell(bulk: Bulk) -> None:
    skipped = f", {bulk.skipped} could no longer be" if bulk.skipped else ""
    click.echo(f"{bulk.acted} {DONE[Action(bulk.action)]}{skipped}")
    if bulk.status == BulkStatus.STOPPED:
        fail(f"stopped before the end: `outboxctl bulk resume {bulk.id} --reason …` goes on")


@click.group("bulk")
def bulk_commands() -> None:
    """Look at acts on many messages, stop one, and go on with it where it stood."""


@bulk_commands.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@json_option
def list_bulks_command(limit: int, *, is_json: bool) -> None:
    """List bulk acts, newest first. A terminal gets a table, a pipe gets JSON lines."""
    with database() as session:
        bulks = list_bulks(session, limit)
    show_rows([as_json(bulk) for bulk in bulks], LISTED, is_json=is_json)


@bulk_commands.command("stop")
@click.argument("bulk_id", type=click.UUID)
@reason_option
def stop_bulk_command(bulk_id: UUID, reason: str) -> None:
    """Stop a bulk act after the step that it is at."""
    try:
        with database() as session:
            bulk = stop_bulk(session, bulk_id, act_because(reason))
    except UnknownBulkError:
        fail(f"there is no bulk act {bulk_id}")
    click.echo(f"bulk act {bulk_id} is {bulk.status} at {bulk.done} of {bulk.found}")


@bulk_commands.command("resume")
@click.argument("bulk_id", type=click.UUID)
@reason_option
def resume_bulk_command(bulk_id: UUID, reason: str) -> None:
    """Go on with a bulk act that was stopped, or whose process died, until it is done."""
    try:
        with sessions() as made:
            act = act_because(reason)
            carry_on(made, lambda session: resume_bulk(session, bulk_id, act))
    except UnknownBulkError:
        fail(f"there is no bulk act {bulk_id}")
