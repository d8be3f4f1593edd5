"""`outboxctl`: show the backlog, sent messages and dead letters with their causes; requeue and discard dead letters."""

import errno
from typing import Any

import click

from operator_console.cli.actions import bulk_commands, discard_command, requeue_command, undo_discard_command
from operator_console.cli.organizations import organizations_commands
from operator_console.cli.pauses import channels_commands, pauses_command, providers_commands, templates_commands
from operator_console.cli.queries import (
    audit_command,
    bounces_command,
    groups_command,
    list_command,
    show_command,
    status_command,
)
from operator_console.cli.suppressions import suppressions_commands
from operator_console.cli.tokens import tokens_commands
from operator_console.cli.users import users_commands
from shared.command_line import version_option

HELP = "Show the backlog, sent messages and dead letters; requeue and discard dead letters."


class Commands(click.Group):
    """All commands. Reports arguments and output that cannot be encoded or written."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Reject arguments that PostgreSQL cannot receive as text."""
        if any(not _is_unicode(argument) for argument in args):
            raise click.UsageError("An argument is not text in UTF-8.", context)
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        """Run the command, and report output that cannot be written."""
        try:
            return super().invoke(context)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader closed the pipe, which is no error
                raise
            raise click.ClickException(f"The output cannot be written: {error.strerror}.") from error


def _is_unicode(argument: str) -> bool:
    """Return whether the argument could be decoded: Python keeps other bytes as lone surrogates."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


@click.group(cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@version_option()
def main() -> None:
    """Run a command."""


for command in (
    *(status_command, list_command, show_command, groups_command, bounces_command, audit_command),
    *(requeue_command, discard_command, undo_discard_command, bulk_commands),
    *(providers_commands, channels_commands, templates_commands, pauses_command),
    *(organizations_commands, users_commands, tokens_commands, suppressions_commands),
):
    main.add_command(command)
