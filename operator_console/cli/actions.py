"""Commands that requeue and discard: messages by id, or all that match a filter as a bulk action."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from uuid import UUID

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from operator_console.actions.audit import Action, AuditContext
from operator_console.actions.bulk import (
    MAX_PER_MINUTE,
    BulkAction,
    BulkPlan,
    BulkStatus,
    count_matching,
    list_bulks,
    resume_bulk,
    start_bulk,
    step_bulk,
    stop_bulk,
)
from operator_console.actions.discard import discard, undo_discard
from operator_console.actions.requeue import Correction, requeue
from operator_console.cli.database import fail, report_error, session_maker, transaction
from operator_console.cli.options import (
    audit_context,
    confirm,
    confirmation_option,
    dry_run_option,
    filter_options,
    json_option,
    reason_option,
    reason_or_dry_run_option,
)
from operator_console.cli.output import show_rows
from operator_console.errors import ActionError, UnknownBulkError
from operator_console.filters import MessageFilter
from operator_console.views import as_json
from shared.command_line import EnumChoice
from shared.db.engine import was_rolled_back
from shared.vocabulary import Locale

ActOnOne = Callable[[Session, UUID, AuditContext], object]

MIN_PAUSE_SECONDS = 0.01
MAX_PAUSE_SECONDS = 1.0
"""Between two steps; a stop from another process takes effect after this time at the latest."""
BULK_COLUMNS = ("id", "status", "action", "found", "acted", "skipped", "per_minute", "operator", "created_at", "reason")
DONE = {Action.REQUEUE: "requeued", Action.DISCARD: "discarded"}
RESULTS = {
    Action.REQUEUE: "is pending and due now",
    Action.DISCARD: "is discarded",
    Action.UNDO_DISCARD: "is dead again, for its earlier reason",
}


def bulk_options(command: Any) -> Any:
    """Add the options of a bulk action."""
    for option in (
        click.option("--per-minute", type=click.IntRange(1, MAX_PER_MINUTE), help="The highest rate per minute."),
        confirmation_option,
        dry_run_option,
        click.option("--all", "is_all", is_flag=True, help="All dead messages; needed if there is no filter."),
    ):
        command = option(command)
    return filter_options(command)


@click.command("requeue")
@click.argument("ids", nargs=-1, type=click.UUID)
@reason_or_dry_run_option
@click.option("--to", "address", help="Correct the recipient of one message.")
@click.option("--locale", type=EnumChoice(Locale), help="Correct the language of one message.")
@bulk_options
def requeue_command(
    ids: tuple[UUID, ...], reason: str | None, address: str | None, locale: Locale | None, **options: Any
) -> None:
    """Give dead messages another attempt.

    The message carries the newest code, or a new one if that has expired. Name messages by their IDS, or select them
    with the filters of `list`. With filters, the command counts the messages first.
    """
    correction = Correction(recipient=address, locale=locale)
    if correction != Correction() and len(ids) != 1:
        raise click.UsageError("--to and --locale correct one message: name it by its id.")

    def act_on(session: Session, message_id: UUID, audit: AuditContext) -> None:
        requeue(session, message_id, audit, correction)

    _run(Action.REQUEUE, act_on, ids, reason, **options)


@click.command("discard")
@click.argument("ids", nargs=-1, type=click.UUID)
@reason_or_dry_run_option
@bulk_options
def discard_command(ids: tuple[UUID, ...], reason: str | None, **options: Any) -> None:
    """Close dead messages that need no attention.

    `undo-discard` opens a message again. Name messages by their IDS, or select them with the filters of `list`. With
    filters, the command counts the messages first.
    """
    _run(Action.DISCARD, discard, ids, reason, **options)


@click.command("undo-discard")
@click.argument("ids", nargs=-1, type=click.UUID, required=True)
@reason_option
def undo_discard_command(ids: tuple[UUID, ...], reason: str) -> None:
    """Open discarded messages again.

    They get back the reason for which they died.
    """
    _act_on_each(Action.UNDO_DISCARD, undo_discard, ids, reason)


def _run(
    action: Action,
    act_on: ActOnOne,
    ids: tuple[UUID, ...],
    reason: str | None,
    *,
    is_all: bool,
    is_dry_run: bool,
    is_confirmed: bool,
    per_minute: int | None,
    **filters: Any,
) -> None:
    wanted = MessageFilter.of(**filters)
    is_bulk = is_all or is_dry_run or per_minute is not None or not wanted.is_empty
    if ids and is_bulk:
        raise click.UsageError("Name messages by their ids or select them by options, not both.")
    if reason is None:
        if not is_dry_run:
            raise click.UsageError("Missing option '--reason'.")
        reason = ""  # a dry run adds no audit row
    if ids:
        _act_on_each(action, act_on, ids, reason)
        return
    if wanted.matches_all_dead and not is_all:
        raise click.UsageError("Select messages: by their ids, a filter, or --all.")
    plan = BulkPlan(action, wanted, per_minute, is_all)
    _run_bulk(plan, reason, is_dry_run=is_dry_run, is_confirmed=is_confirmed)


def _act_on_each(action: Action, act_on: ActOnOne, ids: tuple[UUID, ...], reason: str) -> None:
    """Act on messages one by one, each in its own transaction; exit with 1 if one was refused."""
    has_failed = False
    with session_maker() as sessions:
        for message_id in ids:
            try:
                with sessions.begin() as session:
                    act_on(session, message_id, audit_context(reason))
            except ActionError as error:
                report_error(f"message {message_id} {error}")
                has_failed = True
            else:
                _report(f"message {message_id} {RESULTS[action]}")
    if has_failed:
        raise SystemExit(1)


def _report(line: str) -> None:
    """Write a line; if standard output fails, write to standard error and continue with the next message."""
    try:
        click.echo(line)
    except OSError:
        click.echo(line, err=True)


def _run_bulk(plan: BulkPlan, reason: str, *, is_dry_run: bool, is_confirmed: bool) -> None:
    """Count the messages, ask for confirmation, and run the bulk action until it is done or stopped."""
    with session_maker() as sessions:
        with sessions.begin() as session:
            found = count_matching(session, plan.wanted)
        done = DONE[plan.action]
        noun = "message" if found == 1 else "messages"
        dead = f"{found} dead {noun}"
        click.echo(f"{dead} would be {done}" if is_dry_run else dead)
        if not found and plan.wanted.cause:
            fail("no dead message has this cause: `outboxctl groups` shows the causes")
        if is_dry_run or not found:
            return
        confirm(f"{plan.action.capitalize()} {found} {noun}?", is_confirmed=is_confirmed)
        audit = audit_context(reason)
        _run_steps(sessions, lambda session: start_bulk(session, plan, audit))


def _run_steps(sessions: sessionmaker[Session], start: Callable[[Session], BulkAction]) -> None:
    """Start or resume a bulk action and run its steps at its rate. An interrupt stops it; `bulk resume` continues."""
    bulk = None
    try:
        with interrupt_deferred(), sessions.begin() as session:
            bulk = start(session)
        with _progress(bulk) as show_progress:
            while bulk.status == BulkStatus.RUNNING:
                bulk = _step(sessions, bulk)
                show_progress(bulk)
                if bulk.status == BulkStatus.RUNNING:
                    time.sleep(max(MIN_PAUSE_SECONDS, min(bulk.wait.total_seconds(), MAX_PAUSE_SECONDS)))
    except KeyboardInterrupt:
        if bulk is None:
            raise
        bulk = _stop(sessions, bulk.id)
    skipped = f", {bulk.skipped} skipped" if bulk.skipped else ""
    click.echo(f"{bulk.acted} {DONE[Action(bulk.action)]}{skipped}")
    if bulk.status == BulkStatus.STOPPED:
        fail(f"stopped before the end: `outboxctl bulk resume {bulk.id} --reason …` continues it")


def _step(sessions: sessionmaker[Session], bulk: BulkAction) -> BulkAction:
    """Run a step; after a deadlock or serialization failure, leave it to the next call."""
    try:
        with interrupt_deferred(), sessions.begin() as session:
            return step_bulk(session, bulk.id)
    except DBAPIError as error:
        if was_rolled_back(error):
            return bulk
        report_error(f"bulk action {bulk.id} is not done: `outboxctl bulk resume {bulk.id} --reason …` continues it")
        raise


def _stop(sessions: sessionmaker[Session], bulk_id: UUID) -> BulkAction:
    """Stop the bulk action. After a second interrupt, report that it continues, because the console runs it."""
    try:
        with sessions.begin() as session:
            return stop_bulk(session, bulk_id, audit_context("interrupted"))
    except KeyboardInterrupt:
        fail(f"bulk action {bulk_id} continues: `outboxctl bulk stop {bulk_id} --reason …` stops it")


@contextmanager
def interrupt_deferred() -> Iterator[None]:
    """Raise KeyboardInterrupt after the block for an interrupt inside it; for a second one, at once.

    An interrupt during a statement would make the driver cancel it and print a message. Ignored interrupts, as in a
    shell's background jobs, stay ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, before)

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt


@contextmanager
def _progress(started: BulkAction) -> Iterator[Callable[[BulkAction], None]]:
    """Show a progress bar if standard error is a terminal; yield the function that updates it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(started.action, total=started.found, completed=started.done)
        yield lambda bulk: bar.update(task, completed=bulk.done)


@click.group("bulk")
def bulk_commands() -> None:
    """List, stop and resume bulk actions."""


@bulk_commands.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many to list at most.")
@json_option
def list_bulks_command(limit: int, *, is_json: bool) -> None:
    """List bulk actions, newest first. A terminal gets a table, a pipe gets JSON lines."""
    with transaction() as session:
        bulks = list_bulks(session, limit)
    show_rows([as_json(bulk) for bulk in bulks], BULK_COLUMNS, is_json=is_json)


@bulk_commands.command("stop")
@click.argument("bulk_id", type=click.UUID)
@reason_option
def stop_bulk_command(bulk_id: UUID, reason: str) -> None:
    """Stop a bulk action after its current step."""
    try:
        with transaction() as session:
            bulk = stop_bulk(session, bulk_id, audit_context(reason))
    except UnknownBulkError as error:
        fail(f"bulk action {bulk_id} {error}")
    click.echo(f"bulk action {bulk_id} is {bulk.status} at {bulk.done} of {bulk.found}")


@bulk_commands.command("resume")
@click.argument("bulk_id", type=click.UUID)
@reason_option
def resume_bulk_command(bulk_id: UUID, reason: str) -> None:
    """Continue a bulk action until it is done.

    Use it after a stop, or if the process of the bulk action died.
    """
    try:
        with session_maker() as sessions:
            audit = audit_context(reason)
            _run_steps(sessions, lambda session: resume_bulk(session, bulk_id, audit))
    except UnknownBulkError as error:
        fail(f"bulk action {bulk_id} {error}")
