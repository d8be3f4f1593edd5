"""The command line's way to the database, and what it says when that fails."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from operator_console.settings import ConsoleSettingsSchema
from shared.database import INSUFFICIENT_PRIVILEGE, QUERY_CANCELED, UNDEFINED, describe
from shared.engine import create_database_engine
from shared.settings import read_or_exit


@contextmanager
def sessions(needed: str = "use a member of signpost_console") -> Iterator[sessionmaker[Session]]:
    """Open the database for a command; ``needed`` is what to do where the login may not do that."""
    settings = read_or_exit(ConsoleSettingsSchema())
    engine = create_database_engine(settings.database_url, application_name="outboxctl", pool_size=1)
    try:
        yield sessionmaker(engine)
    except DBAPIError as error:
        fail(_told_of(error, needed))
    finally:
        engine.dispose()


@contextmanager
def database(needed: str = "use a member of signpost_console") -> Iterator[Session]:
    """Open one transaction for the command; what fails in it changes nothing."""
    with sessions(needed) as made, made.begin() as session:
        yield session


def fail(what: str) -> NoReturn:
    """Say what is wrong, and exit with 1."""
    complain(what)
    sys.exit(1)


def complain(what: str) -> None:
    """Say what is wrong, in one line on standard error."""
    click.echo(f"outboxctl: {what}", err=True)


def _told_of(error: DBAPIError, needed: str) -> str:
    """Say what is wrong and what to do, without the error's own text: it quotes rows."""
    facts = describe(error)
    if facts["sqlstate"] in UNDEFINED:
        return f"the database lacks what this release needs ({facts['error']}): run `api-service migrate`"
    if facts["sqlstate"] == QUERY_CANCELED:
        return "it took too long, and is undone: something holds what it needs, or the database is too busy"
    if facts["sqlstate"] == INSUFFICIENT_PRIVILEGE:
        return f"this login may not do that ({facts['error']}): {needed}"
    if isinstance(error, OperationalError):
        why = facts.get("cause") or facts["error"]
        return f"the database does not answer ({why}): check DATABASE_URL and that it runs"
    return f"the database refused ({facts['error']}, {facts['sqlstate']})"
