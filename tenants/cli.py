"""`tenants`: brings organizations' databases up to date."""

import os
import sys

import click

from shared.settings import SettingsError, exit_telling
from tenants.everyone import Failed, Upgraded, databases_behind, upgrade_all
from tenants.helper import answer
from tenants.progress import told_as_they_come
from tenants.revisions import HEAD
from tenants.settings import TenantsSettings, TenantsSettingsSchema


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
    url = _settings().provision_database_url
    behind = databases_behind(url)
    outcomes = list(told_as_they_come(upgrade_all(url, behind, at_once), len(behind)))
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    upgraded = sum(isinstance(outcome, Upgraded) for outcome in outcomes)
    click.echo(f"revision {HEAD}: {upgraded} brought to it, {len(failed)} failed")
    for each in failed:
        click.echo(f"  {each.database}: {each.error} {each.sqlstate or ''}".rstrip())
    sys.exit(1 if failed else 0)


def _settings() -> TenantsSettings:
    try:
        settings: TenantsSettings = TenantsSettingsSchema().read(os.environ)
    except SettingsError as error:
        exit_telling(error)
    return settings
