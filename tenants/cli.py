"""`tenants`: brings organizations' databases up to date, and their passwords to the newest key."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import click
import psycopg

from shared.database import cause_of
from shared.settings import read_or_exit
from tenants.databases import Failed, databases_behind, databases_of_organizations, upgrade_all
from tenants.helper import answer
from tenants.passwords import connect, renew
from tenants.progress import told_as_they_come
from tenants.revisions import HEAD
from tenants.settings import PasswordsSettingsSchema, TenantsSettingsSchema


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Gather the commands."""


@main.command("upgrade", hidden=True)
def upgrade_command() -> None:
    """Bring databases up to date whose URLs are on standard input: for other processes of ours."""
    answer(sys.stdin, sys.stdout)


@main.command("migrate")
@click.option("--at-once", type=click.IntRange(1, 32), default=4, show_default=True, help="So many side by side.")
def migrate_command(at_once: int) -> None:
    """Bring every organization's database to this release's revision.

    What is there already is passed over, so that the command can be given again wherever it was broken off. One
    that fails stops no other; they are named at the end, and the command then ends with 1.
    """
    url = read_or_exit(TenantsSettingsSchema()).provision_database_url
    with _stopping_where_nobody_answers():
        behind = databases_behind(url)
    outcomes = list(told_as_they_come(upgrade_all(url, behind, at_once), len(behind)))
    _conclude(f"revision {HEAD}", "brought to it", outcomes)


@main.command("passwords")
def passwords_command() -> None:
    """Derive the passwords of all organizations' roles from the newest of SECRET_KEYS, so that an older one can go.

    Once relays and applications have the new key in front. One that fails stops no other; they are named at the end,
    and the command then ends with 1. Given again, it does no harm.
    """
    settings = read_or_exit(PasswordsSettingsSchema())
    keys = settings.secret_keys
    with _stopping_where_nobody_answers(), connect(settings.provision_database_url) as connection:
        databases = databases_of_organizations(connection)
        renewed = renew(connection, databases, keys[keys.newest_id])
        outcomes = list(told_as_they_come(renewed, len(databases)))
    _conclude(f"key {keys.newest_id}", "have its password", outcomes)


def _conclude(what: str, done: str, outcomes: Sequence[object]) -> NoReturn:
    """Tell of how many it is ``done`` and of how many it failed, which and why; end with 1 if any did."""
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    click.echo(f"{what}: {len(outcomes) - len(failed)} {done}, {len(failed)} failed")
    for each in failed:
        click.echo(f"  {each.database}: {each.error} {each.sqlstate or ''}".rstrip())
    sys.exit(1 if failed else 0)


@contextmanager
def _stopping_where_nobody_answers() -> Iterator[None]:
    """Say in one line that the server could not be asked, and end with 1."""
    try:
        yield
    except psycopg.Error as error:
        told = f"{type(error).__name__} {error.sqlstate or cause_of(error) or ''}".rstrip()
        click.echo(
            f"tenants: the server does not answer ({told}): check PROVISION_DATABASE_URL and that it runs", err=True
        )
        sys.exit(1)
