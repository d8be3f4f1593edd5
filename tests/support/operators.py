"""Helpers for operators' tests: dead messages, database sessions of the console's role, and `outboxctl`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

from click.testing import CliRunner, Result
from sqlalchemy.orm import Session, sessionmaker

from operator_console.actions.audit import AuditContext
from operator_console.cli import main
from shared.db.engine import create_database_engine
from tests.support.databases import Database
from tests.support.outbox import Outbox

AUDIT = AuditContext("ada", "a test")
DEAD = {"status": "'dead'", "dead_reason": "'rejected'", "settled_at": "now()", "last_error_class": "'recipient'"}


def put_dead(outbox: Outbox, *, count: int = 1, **columns: Any) -> list[UUID]:
    """Put dead messages about no user, which can all be requeued; oldest first."""
    return outbox.put(count=count, **(DEAD | {"token_id": "null"} | columns))


@contextmanager
def console_of(database: Database) -> Iterator[sessionmaker[Session]]:
    """Connect with the console's role."""
    engine = create_database_engine(database.console_url, application_name="test", pool_size=2)
    try:
        yield sessionmaker(engine)
    finally:
        engine.dispose()


def outboxctl(database: Database, *arguments: str, **environment: str) -> Result:
    """Run `outboxctl` with its output in a pipe."""
    settings = {"DATABASE_URL": database.console_url} | environment
    return CliRunner().invoke(main, list(arguments), env=settings)


@contextmanager
def running_outboxctl(database: Database, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """Run `outboxctl` as a separate process, and kill it at the end."""
    command = [sys.executable, "-c", "from operator_console.cli import main; main()", *arguments]
    environment = os.environ | {"DATABASE_URL": database.console_url}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A shell starts background jobs, possibly this test suite too, with interrupts ignored.
    restore_interrupts = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, env=environment, text=True, preexec_fn=restore_interrupts, **pipes) as process:  # noqa: PLW1509 - the test has no threads here
        try:
            yield process
        finally:
            process.kill()


def lines_of(result: Result) -> list[Any]:
    """Return the JSON lines of the output."""
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def a_user(outbox: Outbox, email: str = "ada@example.org", phone: str | None = None, status: str = "pending") -> str:
    """Add a user, whose address is proven if active; return the id as SQL."""
    verified = "now()" if status == "active" else "null"
    [(user_id,)] = outbox.execute(
        "insert into users (id, email, email_canonical, phone, password_hash, locale, status, email_verified_at)"
        f" values (gen_random_uuid(), %s, lower(%s), %s, 'x', 'en', %s, {verified}) returning id",
        email,
        email,
        phone,
        status,
    )
    return f"'{user_id}'"


def a_token_of(outbox: Outbox, user_id: str, *, channel: str = "email", purpose: str = "activation") -> str:
    """Add a valid token, created half an hour ago for an hour."""
    [(token_id,)] = outbox.execute(
        "insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, created_at, expires_at)"
        f" values (gen_random_uuid(), {user_id}, %s, %s, 'test', 5, now() - interval '30 min',"
        " now() + interval '30 min') returning id",
        purpose,
        channel,
    )
    return f"'{token_id}'"
