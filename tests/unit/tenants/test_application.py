"""The application's migrations: the setting, the command's environment, and the reason of a failure."""

import sys
from pathlib import Path

import pytest

from tenants.application import application_url, command_environment, migrations_of, reason_of
from tests.support.alembic_application import alembic_application, next_release


def test_a_command_follows_the_name_of_its_revision() -> None:
    found = migrations_of(f"2027.1: {sys.executable} -c 'print(1)'")
    assert (found.revision, found.command) == ("2027.1", (sys.executable, "-c", "print(1)"))


def test_each_revision_has_a_template() -> None:
    names = {migrations_of(f"{revision}: true").template for revision in ("1", "2", "a b/c")}
    assert len(names) == 3
    assert all(len(name) < 64 and name.replace("_", "").isalnum() for name in names)


def test_the_revision_of_an_alembic_environment_changes_with_its_files(tmp_path: Path) -> None:
    folder = alembic_application(tmp_path)
    first = migrations_of(str(folder))
    assert migrations_of(str(folder)) == first
    next_release(folder)
    assert migrations_of(str(folder)).revision != first.revision


@pytest.mark.parametrize(
    ("text", "predicate"),
    [
        ("/nowhere", "is neither a folder with env.py nor REVISION: COMMAND"),
        ("true", "is neither a folder with env.py nor REVISION: COMMAND"),
        ("1: ", "is neither a folder with env.py nor REVISION: COMMAND"),
        ("1: nowhere-to-be-found migrate", "names a program that does not exist, nowhere-to-be-found"),
    ],
)
def test_a_setting_that_names_no_migrations_is_refused(text: str, predicate: str) -> None:
    with pytest.raises(ValueError, match=predicate):
        migrations_of(text)


@pytest.mark.parametrize(
    ("conninfo", "url"),
    [
        (
            "host=db.example port=5433 user=organizer password='a@b/c d' dbname=org_1 sslmode=require",
            "postgresql://organizer:a%40b%2Fc%20d@db.example:5433/org_1?sslmode=require",
        ),
        (
            "host=/run/postgresql user=organizer dbname=org_1",
            "postgresql://organizer@/org_1?host=%2Frun%2Fpostgresql",
        ),
        ("host=::1 user=organizer dbname=org_1", "postgresql://organizer@[::1]:5432/org_1"),
    ],
)
def test_the_command_gets_an_ordinary_url(conninfo: str, url: str) -> None:
    assert application_url(conninfo) == url


def test_the_command_gets_none_of_signposts_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEYS", "1:secret")
    assert "SECRET_KEYS" not in command_environment("user=organizer dbname=org_1")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            b"Traceback:\n  File ...\ndjango.db.utils.ProgrammingError: no relation\nLINE 1: x\n",
            "django.db.utils.ProgrammingError: no relation",
        ),
        (b"psql:first.sql:1: ERROR:  no such type\nLINE 1: x\n        ^\n", "psql:first.sql:1: ERROR:  no such type"),
        (b"it went wrong\x1b[0m\n\n", "it went wrong[0m"),
        (b"", "exit status 3"),
    ],
)
def test_the_reason_of_a_failure_is_its_last_error(output: bytes, reason: str) -> None:
    assert reason_of(3, output) == reason
