"""The command line's database connection, and its error messages."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from operator_console.settings import ConsoleSettingsSchema
from shared.db.engine import create_database_engine
from shared.db.errors import INSUFFICIENT_PRIVILEGE, QUERY_CANCELED, UNDEFINED, describe
from shared.settings import read_or_exit

USE_CONSOLE_ROLE = "use a member of signpost_console"


@contextmanager
def session_maker(advice: str = USE_CONSOLE_ROLE) -> Iterator[sessionmaker[Session]]:
    """Open the database for a command; ``advice`` is the remedy for a login that lacks a right."""
    settings = read_or_exit(ConsoleSettingsSchema())
    engine = create_database_engine(settings.database_url, application_name="outboxctl", pool_size=1)
    try:
        yield sessionmaker(engine)
    except DBAPIError as error:
        fail(_message_for(error, advice))
    finally:
        engine.dispose()


@contextmanager
def transaction(advice: str = USE_CONSOLE_ROLE) -> Iterator[Session]:
    """Open one transaction for a command; an error rolls it back."""
    with session_maker(advice) as sessions, sessions.begin() as session:
        yield session


def fail(message: str) -> NoReturn:
    """Report an error and exit with 1."""
    report_error(message)
    sys.exit(1)


def report_error(message: str) -> None:
    """Write an error as one line to standard error."""
    click.echo(f"outboxctl: {message}", err=True)


def _message_for(error: DBAPIError, advice: str) -> str:
    """Describe the error and the remedy without the error's own text, which may quote rows."""
    facts = describe(error)
    if facts["sqlstate"] in UNDEFINED:
        return f"the database lacks what this release needs ({facts['error']}): run `api-service migrate`"
    if facts["sqlstate"] == QUERY_CANCELED:
        return "the statement timed out and was rolled back: it waited for a lock, or the database is too busy"
    if facts["sqlstate"] == INSUFFICIENT_PRIVILEGE:
        return f"this login may not do that ({facts['error']}): {advice}"
    if isinstance(error, OperationalError):
        why = facts.get("cause") or facts["error"]
        return f"the database does not respond ({why}): check DATABASE_URL and that it runs"
    return f"the database refused ({facts['error']}, {facts['sqlstate']})"
