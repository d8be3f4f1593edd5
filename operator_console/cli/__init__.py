"""`outboxctl`: what waits, what was sent, what died and why, and another attempt for it.

Each module holds one family of commands and is imported only when one of them runs, which keeps `status` and `list`
fast to start.
"""

import errno
from importlib import import_module
from typing import Any, NamedTuple

import click

HELP = "Show what waits, what was sent and what died; requeue and discard dead messages."


class CommandSpec(NamedTuple):
    """Where a command is, and its line in the list of commands."""

    module: str
    name: str
    summary: str


COMMANDS = {
    "audit": CommandSpec("queries", "audit_command", "List operators' actions and their reasons, newest first."),
    "bulk": CommandSpec("actions", "bulk_commands", "List, stop and resume bulk actions."),
    "discard": CommandSpec("actions", "discard_command", "Close dead messages that need no further attention."),
    "groups": CommandSpec("queries", "groups_command", "Count dead messages by cause, most frequent first."),
    "list": CommandSpec("queries", "list_command", "List messages, newest first; recipients are masked."),
    "organizations": CommandSpec(
        "organizations", "organizations_commands", "Show, check and repair organizations' databases."
    ),
    "providers": CommandSpec(
        "queries", "providers_command", "List providers: breaker, since when, last failure, rate."
    ),
    "requeue": CommandSpec("actions", "requeue_command", "Give dead messages another attempt, with a valid code."),
    "show": CommandSpec("queries", "show_command", "Show one message with its failed attempts and its timeline."),
    "status": CommandSpec("queries", "status_command", "Show backlog, lag, recent outcomes, breakers and relays."),
    "tokens": CommandSpec("tokens", "tokens_commands", "Create, list and revoke tokens for the console."),
    "undo-discard": CommandSpec("actions", "undo_discard_command", "Restore the reason that discarded messages had."),
}


class Commands(click.Group):
    """All commands by name. Only the one that runs is imported."""

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

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return all names."""
        return sorted(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import and return the command of that name, if there is one."""
        spec = COMMANDS.get(name)
        if spec is None:
            return None
        found: click.Command = getattr(import_module(f"{__name__}.{spec.module}"), spec.name)
        return found

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands in the help without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in sorted(COMMANDS)])


def _is_unicode(argument: str) -> bool:
    """Return whether the argument could be decoded: Python keeps other bytes as lone surrogates."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


@click.group(cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a command."""
