"""Commands for users: show and set own fields that only operators set."""

import json
from typing import Any
from uuid import UUID

import click

from operator_console.actions.profiles import change_profile, operators_fields
from operator_console.cli.database import fail, transaction
from operator_console.cli.options import Reason, audit_context
from operator_console.errors import ProfileChangeError
from operator_console.settings import ProfileSettings, ProfileSettingsSchema
from shared.settings import read_or_exit


class Assignment(click.ParamType[tuple[str, Any]]):
    """``NAME=VALUE``, where the value is a text or JSON."""

    name = "name=value"

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Return the name and the value, or fail as wrong usage."""
        name, equals, text = str(value).partition("=")
        if not (name and equals):
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        if not self.is_json:
            return name, text
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            self.fail(f"{text!r} is not JSON", param, ctx)
        if found is None:
            self.fail("null is no value: --unset removes a field", param, ctx)
        return name, found


@click.group("users")
def users_commands() -> None:
    """Set own fields of users."""


@users_commands.command("profile")
@click.argument("user_id", type=click.UUID)
@click.option("--set", "texts", type=Assignment(is_json=False), multiple=True, help="Set a field to a text.")
@click.option("--set-json", "values", type=Assignment(is_json=True), multiple=True, help="Set a field to a JSON value.")
@click.option("--unset", "removed", multiple=True, metavar="NAME", help="Remove a field.")
@click.option("--reason", type=Reason(), help="Why the fields change; stored in the audit.")
def profile_command(
    user_id: UUID,
    texts: tuple[tuple[str, str], ...],
    values: tuple[tuple[str, Any], ...],
    removed: tuple[str, ...],
    reason: str | None,
) -> None:
    """Show or set the fields of a user that only operators set, by PROFILE_SCHEMA. Prints one JSON object."""
    changes = dict((*texts, *values, *((name, None) for name in removed)))
    if len(changes) < len(texts) + len(values) + len(removed):
        raise click.UsageError("A field is named twice.")
    if changes and not reason:
        raise click.UsageError("A change is recorded in the audit: add --reason.")
    if reason and not changes:
        raise click.UsageError("--reason is the reason of a change: add --set, --set-json or --unset.")
    settings: ProfileSettings = read_or_exit(ProfileSettingsSchema())
    try:
        with transaction() as session:
            if reason:
                shown = change_profile(session, user_id, changes, settings.profile_schema, audit_context(reason))
            else:
                shown = operators_fields(session, user_id, settings.profile_schema)
    except ProfileChangeError as error:
        fail(f"user {user_id} {error}")
    click.echo(json.dumps(shown))
