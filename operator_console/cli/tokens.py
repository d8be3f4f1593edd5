"""Commands for operators' tokens: the schema's owner creates them; any operator lists and revokes them."""

from datetime import timedelta
from uuid import UUID

import click

from operator_console.actions.tokens import Scope, create_token, list_tokens, revoke_token
from operator_console.cli.database import fail, transaction
from operator_console.cli.options import Reason, audit_context, json_option, reason_option
from operator_console.cli.output import show_rows
from operator_console.views import as_json
from shared.command_line import EnumChoice

COLUMNS = ("id", "name", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")
OWNER_NEEDED = "give DATABASE_URL of the schema's owner, as for `api-service migrate`"
MAX_DAYS = 366


@click.group("tokens")
def tokens_commands() -> None:
    """Create, list and revoke tokens for the console."""


@tokens_commands.command("create")
@click.option("--name", type=Reason(), required=True, help="The owner or the purpose; audit rows contain it.")
@click.option(
    "--scope", "scopes", type=EnumChoice(Scope), multiple=True, required=True, help="What it allows; may be repeated."
)
@click.option("--days", type=click.IntRange(1, MAX_DAYS), default=90, show_default=True, help="Days until it expires.")
@reason_option
def create_command(name: str, scopes: tuple[Scope, ...], days: int, reason: str) -> None:
    """Create a token and print it once. Needs the DATABASE_URL of the schema's owner."""
    with transaction(OWNER_NEEDED) as session:
        token, secret = create_token(session, name, scopes, timedelta(days=days), audit_context(reason))
    # The id first, so that the token can be revoked if the output of its secret fails.
    click.echo(f"token {token.id} of {name} until {token.expires_at:%Y-%m-%d}; it is not shown again", err=True)
    click.echo(secret)


@tokens_commands.command("list")
@json_option
def list_tokens_command(*, is_json: bool) -> None:
    """List tokens without their secrets, newest first. A terminal gets a table, a pipe gets JSON lines."""
    with transaction() as session:
        tokens = list_tokens(session)
    show_rows([as_json(token) for token in tokens], COLUMNS, is_json=is_json)


@tokens_commands.command("revoke")
@click.argument("token_id", type=click.UUID)
@reason_option
def revoke_command(token_id: UUID, reason: str) -> None:
    """Revoke a token at once."""
    with transaction() as session:
        is_revoked = revoke_token(session, token_id, audit_context(reason))
    if not is_revoked:
        fail(f"there is no active token {token_id}")
    click.echo(f"token {token_id} is revoked")
