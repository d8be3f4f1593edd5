"""Tokens of operators: made by the schema's owner, shown once; listed and revoked by any operator."""

from datetime import timedelta
from uuid import UUID

import click

from operator_console.cli.audited import act_because
from operator_console.cli.database import database, fail
from operator_console.cli.options import Reason, json_option, reason_option
from operator_console.cli.output import show_rows
from operator_console.operator_tokens import Scope, create_token, list_tokens, revoke_token
from operator_console.views import as_json
from shared.command_line import OneOf

LISTED = ("id", "name", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")
OWNER_NEEDED = "give DATABASE_URL of the schema's owner, as for `api-service migrate`"
MOST_DAYS = 366


@click.group("tokens")
def tokens_commands() -> None:
    """Give out tokens for the console, look at them, take them back."""


@tokens_commands.command("create")
@click.option("--name", type=Reason(), required=True, help="Whose it is, or what for; every change names it.")
@click.option(
    "--scope", "scopes", type=OneOf(Scope), multiple=True, required=True, help="What it allows; may be repeated."
)
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=90, show_default=True, help="Until it expires.")
@reason_option
def create_command(name: str, scopes: tuple[Scope, ...], days: int, reason: str) -> None:
    """Make a token and print it, this once. Needs the DATABASE_URL of the schema's owner."""
    with database(OWNER_NEEDED) as session:
        token, text = create_token(session, name, scopes, timedelta(days=days), act_because(reason))
    # First how to revoke it, should what follows be written nowhere.
    click.echo(f"token {token.id} of {name} until {token.expires_at:%Y-%m-%d}; it is not shown again", err=True)
    click.echo(text)


@tokens_commands.command("list")
@json_option
def list_tokens_command(*, is_json: bool) -> None:
    """List tokens, newest first, never themselves. A terminal gets a table, a pipe gets JSON lines."""
    with database() as session:
        tokens = list_tokens(session)
    show_rows([as_json(token) for token in tokens], LISTED, is_json=is_json)


@tokens_commands.command("revoke")
@click.argument("token_id", type=click.UUID)
@reason_option
def revoke_command(token_id: UUID, reason: str) -> None:
    """End a token at once."""
    with database() as session:
        is_revoked = revoke_token(session, token_id, act_because(reason))
    if not is_revoked:
        fail(f"there is no token {token_id} that still works")
    click.echo(f"token {token_id} is revoked")
