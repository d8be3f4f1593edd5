"""`tenants`: upgrades organizations' databases."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import click
import psycopg

from shared.command_line import version_option
from shared.db.errors import connection_failure_of
from shared.settings import read_or_exit
from tenants.application import ApplicationMigrations
from tenants.databases import Result, databases_behind, upgrade_all
from tenants.settings import TenantsSettingsSchema


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@version_option()
def main() -> None:
    """Group the commands."""


@main.command("migrate")
@click.option(
    "--at-once", type=click.IntRange(1, 32), default=4, show_default=True, help="Number of concurrent upgrades."
)
def migrate_command(at_once: int) -> None:
    """Upgrade every organization's database to the application's revision in ORGANIZATION_MIGRATIONS.

    Databases that have it already are skipped, so you can repeat an interrupted run. A failure stops no other upgrade.
    The command lists failures at the end and exits with 1.
    """
    settings = read_or_exit(TenantsSettingsSchema())
    url, migrations = settings.provision_database_url, settings.organization_migrations or ApplicationMigrations()
    with _exiting_without_server():
        behind = databases_behind(url, migrations.revision)
    results = _with_progress(upgrade_all(url, migrations, behind, at_once), len(behind))
    _report_and_exit(f"revision {migrations.revision or 'none'}", results)


def _with_progress(results: Iterator[Result], count: int) -> list[Result]:
    """Collect the results, with a progress bar on terminals."""
    collected: list[Result] = []
    with click.progressbar(
        results, length=count, label="organizations", show_pos=True, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        for result in bar:
            collected.append(result)
            bar.label = f"organizations, {sum(bool(each.error) for each in collected)} failed"
    return collected


def _report_and_exit(subject: str, results: Sequence[Result]) -> NoReturn:
    failed = [result for result in results if result.error]
    click.echo(f"{subject}: {len(results) - len(failed)} upgraded, {len(failed)} failed")
    for each in failed:
        click.echo(f"  {each.database}: {each.error}")
    sys.exit(1 if failed else 0)


@contextmanager
def _exiting_without_server() -> Iterator[None]:
    """Report a server that does not respond in one line, and exit with 1."""
    try:
        yield
    except psycopg.Error as error:
        cause = f"{type(error).__name__} {error.sqlstate or connection_failure_of(error) or ''}".rstrip()
        click.echo(
            f"tenants: the server does not respond ({cause}): check PROVISION_DATABASE_URL and that it runs", err=True
        )
        sys.exit(1)
