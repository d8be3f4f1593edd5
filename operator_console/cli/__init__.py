"""`outboxctl`: what waits, what was sent, what died of what, and another try for it.

Each file has a family of commands.
"""

import click

from operator_console.cli.acting import discard_command, requeue_command, undo_discard_command
from operator_console.cli.bulks import bulk_commands
from operator_console.cli.looking import audit_command, groups_command, list_command, show_command
from operator_console.cli.organizations import organizations_commands
from operator_console.cli.standing import providers_command, status_command
from operator_console.cli.tokens import tokens_commands

HELP = "What waits, what was sent, what died of what, and another try for it."


@click.group(help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Gather the commands."""


for command in (
    status_command,
    list_command,
    show_command,
    groups_command,
    requeue_command,
    discard_command,
    undo_discard_command,
    bulk_commands,
    providers_command,
    audit_command,
    tokens_commands,
    organizations_commands,
):
    main.add_command(command)
