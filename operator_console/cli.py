"""`outboxctl`: what waits, what was sent, what died, and another try for what died."""

import getpass
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from uuid import UUID

import click
from rich.console import Console
from rich.table import Column, Table
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from operator_console.acting import Act, NotDeadError, SupersededError, UnknownMessageError, requeue
from operator_console.reading import MessageFilter, MessageView, list_messages, list_providers, show_message
from operator_console.settings import ConsoleSettingsSchema
from shared.command_line import OneOf
from shared.database import describe
from shared.engine import create_database_engine
from shared.settings import SettingsError, exit_telling
from shared.vocabulary import Channel, DeadReason, Status, Template

LISTED = (
    "id",
    "status",
    "dead_reason",
    "template",
    "channel",
    "recipient",
    "attempt",
    "last_error_class",
    "created_at",
)
PROVIDERS_LISTED = ("provider", "breaker", "since", "last_failure_class", "last_failed_at", "rate")
HIGHEST_LIMIT = 10_000
ID_WIDTH = 36

# SQLSTATEs, PostgreSQL's appendix A: the table, column or function does not exist.
UNDEFINED = ("42P01", "42703", "42883")
INSUFFICIENT_PRIVILEGE = "42501"


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Gather the commands."""


@main.command("list")
@click.option("--status", type=OneOf(Status), help="Only messages that stand so.")
@click.option("--dead-reason", type=OneOf(DeadReason), help="Only messages that died of this.")
@click.option("--channel", type=OneOf(Channel), help="Only messages that go this way.")
@click.option("--template", type=OneOf(Template), help="Only messages with these words.")
@click.option("--limit", type=click.IntRange(1, HIGHEST_LIMIT), default=50, show_default=True, help="At most so many.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line, for programs.")
def list_command(limit: int, *, is_json: bool, **wanted: Any) -> None:
    """List messages, newest first; recipients are masked. A terminal gets a table, a pipe gets JSON lines."""
    with database() as session:
        messages = list_messages(session, MessageFilter(**wanted), limit)
    if is_json or not sys.stdout.isatty():
        for message in messages:
            click.echo(json.dumps(message))
    else:
        # The id is what one copies: whatever else a narrow terminal folds, it stays whole.
        whole_id = Column("id", no_wrap=True, min_width=ID_WIDTH)
        Console().print(_table(messages, whole_id, LISTED))


@main.command("providers")
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line, for programs.")
def providers_command(*, is_json: bool) -> None:
    """List the providers: breaker, since when, last failure, rate. A terminal gets a table, a pipe gets JSON lines."""
    with database() as session:
        providers = list_providers(session)
    if is_json or not sys.stdout.isatty():
        for provider in providers:
            click.echo(json.dumps(provider))
    else:
        Console().print(_table(providers, Column("provider", no_wrap=True), PROVIDERS_LISTED))


@main.command("show")
@click.argument("message_id", type=click.UUID)
@click.option("--json", "is_json", is_flag=True, help="As one JSON object, for programs.")
def show_command(message_id: UUID, *, is_json: bool) -> None:
    """Show one message: how it stands, its failed attempts, and what operators did to it."""
    with database() as session:
        message = show_message(session, message_id)
    if message is None:
        _fail(f"there is no message {message_id}")
    click.echo(json.dumps(message) if is_json else _as_lines(message))


@main.command("requeue")
@click.argument("message_id", type=click.UUID)
@click.option("--reason", required=True, help="Why; kept with the change.")
def requeue_command(message_id: UUID, reason: str) -> None:
    """Give a dead message another try, with the newest code, or a fresh one if that has expired."""
    try:
        with database() as session:
            requeue(session, message_id, Act(operator=getpass.getuser(), reason=reason))
    except UnknownMessageError:
        _fail(f"there is no message {message_id}")
    except NotDeadError as error:
        _fail(f"message {message_id} is {error.status}: only a dead one can be requeued")
    except SupersededError:
        _fail(f"message {message_id} is superseded: a newer message replaced it")
    click.echo(f"message {message_id} is pending and due now")


@contextmanager
def database() -> Iterator[Session]:
    """Open one transaction for the command; what fails in it changes nothing."""
    try:
        settings = ConsoleSettingsSchema().read(os.environ)
    except SettingsError as error:
        exit_telling(error)
    engine = create_database_engine(settings.database_url, application_name="outboxctl", pool_size=1)
    try:
        with Session(engine) as session, session.begin():
            yield session
    except DBAPIError as error:
        _fail(_told_of(error))
    finally:
        engine.dispose()


def _told_of(error: DBAPIError) -> str:
    """Say what is wrong and what to do, without the error's own text: it quotes rows."""
    facts = describe(error)
    if facts["sqlstate"] in UNDEFINED:
        return f"the database lacks what this release needs ({facts['error']}): run `api-service migrate`"
    if facts["sqlstate"] == INSUFFICIENT_PRIVILEGE:
        return f"this login may not do that ({facts['error']}): use a member of signpost_console"
    if isinstance(error, OperationalError):
        return f"the database does not answer ({facts['error']}): check DATABASE_URL and that it runs"
    return f"the database refused ({facts['error']}, {facts['sqlstate']})"


def _fail(what: str) -> NoReturn:
    click.echo(f"outboxctl: {what}", err=True)
    sys.exit(1)


def _table(rows: list[dict[str, Any]], first: Column, columns: tuple[str, ...]) -> Table:
    table = Table(first, *columns[1:], box=None, header_style="bold")
    for row in rows:
        table.add_row(*("" if row[column] is None else str(row[column]) for column in columns))
    return table


def _as_lines(message: MessageView) -> str:
    width = max(map(len, message)) + 2
    lines = [f"{name:<{width}}{value}" for name, value in message.items() if not isinstance(value, list)]
    for name in ("attempts", "operator_actions"):
        lines.append(f"{name:<{width}}{len(message[name])}")
        lines += [f"  {json.dumps(entry)}" for entry in message[name]]
    return "\n".join(lines)
