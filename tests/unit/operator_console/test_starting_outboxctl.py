"""`outboxctl` imports only what a command needs."""

import subprocess
import sys

import click
import pytest

from operator_console.cli import COMMANDS, main

pytestmark = pytest.mark.slow

NOT_FOR_HELP = ("sqlalchemy", "psycopg", "marshmallow", "rich")
NOT_FOR_QUERIES = ("operator_console.actions.bulk", "phonenumbers", "email_validator", "rich", "flask", "gunicorn")


def imported_by(statement: str, names: tuple[str, ...]) -> set[str]:
    code = f"{statement}\nimport sys; print(*(name for name in {names!r} if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.splitlines()[-1].split())


def test_the_help_imports_no_database_library() -> None:
    asked = "from operator_console.cli import main; main(['--help'], standalone_mode=False)"
    assert imported_by(asked, NOT_FOR_HELP) == set()


@pytest.mark.parametrize("command", ["status", "list", "groups", "show"])
def test_queries_import_neither_actions_nor_tables(command: str) -> None:
    asked = f"from operator_console.cli import main; main(['{command}', '--help'], standalone_mode=False)"
    assert imported_by(asked, NOT_FOR_QUERIES) == set()


def test_every_command_is_found_by_its_name() -> None:
    context = click.Context(main)
    assert main.list_commands(context) == sorted(COMMANDS)
    assert {name: found.name for name in COMMANDS if (found := main.get_command(context, name))} == {
        name: name for name in COMMANDS
    }
    assert main.get_command(context, "replay") is None
