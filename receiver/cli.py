"""`signpost-receiver`: take reports about sent messages from outside."""

import click

from receiver.callbacks.command import callbacks, check_callbacks
from shared.command_line import version_option


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@version_option()
def main() -> None:
    """Run a command."""


main.add_command(callbacks)
main.add_command(check_callbacks)
