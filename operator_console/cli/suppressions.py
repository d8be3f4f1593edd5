"""Commands for the suppression list."""

from datetime import timedelta

import click

from operator_console.actions.suppressions import (
    LONGEST_DAYS,
    Hashes,
    add_suppression,
    hashes_of,
    list_suppressions,
    remove_suppression,
)
from operator_console.cli.database import fail, transaction
from operator_console.cli.options import audit_context, json_option, limit_option, reason_option
from operator_console.cli.output import show_rows
from operator_console.errors import ActionError
from operator_console.settings import SuppressionSettings, SuppressionSettingsSchema
from operator_console.views import as_json
from shared.addresses import InvalidAddressError
from shared.settings import read_or_exit

COLUMNS = ("id", "reason", "strikes", "since", "until", "key_id")


@click.group("suppressions")
def suppressions_commands() -> None:
    """List, add and remove addresses that get no messages. FEEDBACK_KEYS must be the relay's."""


@suppressions_commands.command("list")
@click.option("--address", help="Only the entries of this address or number.")
@limit_option
@json_option
def list_suppressions_command(address: str | None, *, limit: int, is_json: bool) -> None:
    """List the present entries, newest first. They show a keyed hash in place of the address.

    A terminal gets a table, a pipe gets JSON lines.
    """
    hashes = None if address is None else _hashes_of(address)
    with transaction() as session:
        entries = list_suppressions(session, hashes, limit=limit)
    show_rows([as_json(entry) for entry in entries], COLUMNS, is_json=is_json)


@suppressions_commands.command("add")
@click.argument("address")
@reason_option
@click.option(
    "--days", type=click.IntRange(1, LONGEST_DAYS), default=30, show_default=True, help="End it after so many days."
)
def add_command(address: str, reason: str, days: int) -> None:
    """Suppress an address or number: messages to it die without an attempt."""
    hashes = _hashes_of(address)
    with transaction() as session:
        entry = add_suppression(session, hashes, timedelta(days=days), audit_context(reason))
    click.echo(f"suppressed until {entry.until:%Y-%m-%d %H:%M} UTC")


@suppressions_commands.command("remove")
@click.argument("address")
@reason_option
def remove_command(address: str, reason: str) -> None:
    """End all suppressions of an address or number, and forget its bounces."""
    hashes = _hashes_of(address)
    try:
        with transaction() as session:
            removed = remove_suppression(session, hashes.values(), audit_context(reason))
    except ActionError as error:
        fail(str(error))
    click.echo(f"removed {removed} {'entry' if removed == 1 else 'entries'}")


def _hashes_of(address: str) -> Hashes:
    """Return the address's hashes under FEEDBACK_KEYS. Ends the process if a setting or the address is wrong."""
    settings: SuppressionSettings = read_or_exit(SuppressionSettingsSchema())
    try:
        return hashes_of(address, settings.feedback_keys)
    except InvalidAddressError as error:
        raise click.UsageError(f"The address is {error}.") from error
