"""Operators' tokens: shown once, stored as a hash, ended by expiry or revocation."""

import hashlib
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from operator_console.actions.tokens import Scope, TokenView, authenticate
from tests.support.databases import Database, is_refused
from tests.support.operators import lines_of, outboxctl
from tests.support.outbox import Outbox

CREATE = ("tokens", "create", "--name", "night shift", "--scope", "read", "--scope", "act", "--reason", "on call")


def created(database: Database) -> str:
    result = outboxctl(database, *CREATE, DATABASE_URL=database.owner_url)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def known(console: sessionmaker[Session], text: str) -> TokenView | None:
    with console.begin() as session:
        return authenticate(session, text)


def test_a_token_is_shown_once_and_stored_as_its_hash(outbox: Outbox, console: sessionmaker[Session]) -> None:
    text = created(outbox.database)
    assert outbox.execute("select token_hash, scopes from operator_tokens") == [
        (hashlib.sha256(text.encode()).digest(), ["read", "act"])
    ]
    view = known(console, text)
    assert view
    assert (view.name, view.scopes) == ("night shift", (Scope.READ, Scope.ACT))
    assert view.expires_at - view.created_at == timedelta(days=90)
    [listed] = lines_of(outboxctl(outbox.database, "tokens", "list"))
    assert text not in str(listed)
    assert listed["last_used_at"] is not None


@pytest.mark.parametrize("text", ["", "so_", "so_" + "A" * 43, "\ud800"])
def test_malformed_tokens_are_rejected(console: sessionmaker[Session], text: str) -> None:
    assert known(console, text) is None


def test_a_token_expires(outbox: Outbox, console: sessionmaker[Session]) -> None:
    text = created(outbox.database)
    outbox.execute("update operator_tokens set expires_at = now()")
    assert known(console, text) is None


def test_a_revoked_token_ends_at_once_and_permanently(outbox: Outbox, console: sessionmaker[Session]) -> None:
    text = created(outbox.database)
    view = known(console, text)
    assert view
    revoke = ("tokens", "revoke", str(view.id), "--reason", "lost the laptop")
    assert outboxctl(outbox.database, *revoke).exit_code == 0
    assert known(console, text) is None
    again = outboxctl(outbox.database, *revoke)
    assert (again.exit_code, again.stderr) == (1, f"outboxctl: there is no active token {view.id}\n")
    audited = lines_of(outboxctl(outbox.database, "audit"))
    assert [(row["action"], row["reason"]) for row in audited] == [
        ("revoke_token", "lost the laptop"),
        ("create_token", "on call"),
    ]


def test_the_consoles_role_cannot_create_tokens_and_the_error_says_who_can(database: Database) -> None:
    result = outboxctl(database, *CREATE)
    assert result.exit_code == 1
    assert result.stderr == (
        "outboxctl: this login may not do that (InsufficientPrivilege):"
        " give DATABASE_URL of the schema's owner, as for `api-service migrate`\n"
    )
    for statement in (
        "insert into operator_tokens default values",
        "update operator_tokens set revoked_at = null",
        "update operator_tokens set scopes = '{act}'",
        "delete from operator_tokens",
    ):
        assert is_refused(database.console_url, statement), statement


def test_last_use_is_not_written_at_each_use(outbox: Outbox, console: sessionmaker[Session]) -> None:
    text = created(outbox.database)
    known(console, text)
    first = outbox.execute("select last_used_at, xmin from operator_tokens")
    known(console, text)
    assert outbox.execute("select last_used_at, xmin from operator_tokens") == first
