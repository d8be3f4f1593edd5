"""`outboxctl`: what waits, what was sent, what died of what, and another try for it.

Each file has a family of commands, and is imported when one of them is asked for: whoever wants to know at night how
things stand does not wait for what requeues.
"""

import errno
from importlib import import_module
from typing import Any, NamedTuple

import click

HELP = "What waits, what was sent, what died of what, and another try for it."


class Place(NamedTuple):
    """Where a command is, and what it says of itself in the list of all."""

    family: str
    name: str
    summary: str


COMMANDS = {
    "audit": Place("looking", "audit_command", "List what operators did, newest first, and why."),
    "bulk": Place("bulks", "bulk_commands", "Look at acts on many messages, stop one, and go on with it."),
    "discard": Place("acting", "discard_command", "Close dead messages that nobody need look at any more."),
    "groups": Place("looking", "groups_command", "Count dead messages by cause, the commonest first."),
    "list": Place("looking", "list_command", "List messages, newest first; recipients are masked."),
    "organizations": Place("organizations", "organizations_commands", "Look at organizations' databases; repair them."),
    "providers": Place("standing", "providers_command", "List the providers: breaker, since when, last failure, rate."),
    "requeue": Place("acting", "requeue_command", "Give dead messages another try, with a code that works."),
    "show": Place("looking", "show_command", "Show one message: its failed attempts, and all that happened to it."),
    "status": Place("standing", "status_command", "Tell how the outbox stands: what waits, and for how long."),
    "tokens": Place("tokens", "tokens_commands", "Give out tokens for the console, look at them, take them back."),
    "undo-discard": Place("acting", "undo_discard_command", "Give discarded messages back the reason they died of."),
}


class Commands(click.Group):
    """All commands by name, of which only the one that is asked for is imported."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Refuse what PostgreSQL could not be asked for, whichever option it stands in."""
        if any(not _is_unicode(argument) for argument in args):
            raise click.UsageError("An argument is not text in UTF-8.", context)
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        """Run the command; where its output cannot be written, say so."""
        try:
            return super().invoke(context)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read has seen enough
                raise
            raise click.ClickException(f"The output cannot be written: {error.strerror}.") from error

    def list_commands(self, _context: click.Context) -> list[str]:
        """Name them all."""
        return sorted(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import the command of that name, if there is one."""
        place = COMMANDS.get(name)
        if place is None:
            return None
        found: click.Command = getattr(import_module(f"{__name__}.{place.family}"), place.name)
        return found

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """List them in the help, each with its summary."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in sorted(COMMANDS)])


def _is_unicode(argument: str) -> bool:
    """Tell whether an argument could be decoded: Python keeps bytes that could not as halves of surrogate pairs."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


@click.group(cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Gather the commands."""
