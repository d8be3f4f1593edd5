"""Options that several commands have: which messages, in which form, and why."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from operator_console.filters import MessageFilter
from operator_console.reasons import LONGEST_REASON, is_showable
from shared.command_line import OneOf
from shared.vocabulary import CHANNELS, TEMPLATES, DeadReason, Status

Command = TypeVar("Command", bound=Callable[..., Any])


class Moment(click.ParamType[datetime]):
    """A day or a moment of ISO 8601, as `--json` and the tables show it; in UTC where it says nothing."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return it; what is none is wrong usage."""
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is none: write 2026-12-31, 2026-12-31T23:59 or 2026-12-31T23:59:59Z", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


FILTERS = (
    click.option("--dead-reason", type=OneOf(DeadReason), help="Only messages that died of this."),
    click.option("--channel", type=OneOf(CHANNELS), help="Only messages that go this way."),
    click.option("--template", type=OneOf(TEMPLATES), help="Only messages with these words, or of this work."),
    click.option("--provider", help="Only messages that this provider had last."),
    click.option("--recipient", help="Only messages to exactly this address or number."),
    click.option("--created-after", type=Moment(), help="Only what was enqueued then or later, UTC by itself."),
    click.option("--created-before", type=Moment(), help="Only messages enqueued earlier; likewise."),
    click.option("--cause", help="Only messages of this cause; `outboxctl groups` tells its id."),
)


class Reason(click.ParamType[str]):
    """A sentence that says something, and nothing to the terminal it is shown at."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it without the white space around it; what cannot be kept is wrong usage."""
        reason = str(value).strip()
        if not reason:
            self.fail("it is empty", param, ctx)
        if len(reason) > LONGEST_REASON:
            self.fail(f"it is longer than {LONGEST_REASON} characters", param, ctx)
        if not is_showable(reason):
            self.fail("it has characters that cannot be shown", param, ctx)
        return reason


json_option = click.option("--json", "is_json", is_flag=True, help="One JSON object a line, for programs.")
reason_option = click.option("--reason", type=Reason(), required=True, help="Why; kept with the change.")
status_option = click.option("--status", type=OneOf(Status), help="Only messages that stand so.")


def filter_options(command: Command) -> Command:
    """Give a command the options that say which messages; ``filter_of`` takes them out of its keywords."""
    for option in reversed(FILTERS):
        command = option(command)
    return command


def reveal_options(command: Command) -> Command:
    """Give a command the options by which addresses are shown as they are, which leaves an audit row."""
    command = click.option("--reason", type=Reason(), help="Why addresses are revealed; kept.")(command)
    return click.option("--reveal", is_flag=True, help="Show addresses as they are; say why with --reason.")(command)


def why_revealed(*, reveal: bool, reason: str | None) -> str | None:
    """Return why addresses are to be revealed; None where they are not. One without the other is wrong usage."""
    if not reveal:
        if reason:
            raise click.UsageError("--reason says why addresses are revealed: say --reveal as well.")
        return None
    if not reason:
        raise click.UsageError("--reveal is written down: say why with --reason.")
    return reason


def filter_of(wanted: dict[str, Any]) -> MessageFilter:
    """Return the filter that the options make."""
    return MessageFilter.of(**wanted)
