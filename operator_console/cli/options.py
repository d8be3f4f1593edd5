"""Options that several commands share: filters, output format, and reasons."""

import os
import pwd
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from operator_console.actions.audit import MAX_REASON_LENGTH, AuditContext, is_showable
from shared.command_line import EnumChoice
from shared.reports.report import ReportKind
from shared.templates import TEMPLATES_AND_WORK
from shared.vocabulary import CHANNELS, DeadReason, Status

Command = TypeVar("Command", bound=Callable[..., Any])
MAX_LIMIT = 10_000


class Moment(click.ParamType[datetime]):
    """A date or time in ISO 8601, as the tables and `--json` show it. The default time zone is UTC."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time, or fail as wrong usage."""
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is not a time: write 2026-12-31, 2026-12-31T23:59 or 2026-12-31T23:59:59Z", param, ctx
            )
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


class Reason(click.ParamType[str]):
    """Text for an audit row: not empty, of limited length, and safe to show on a terminal."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text without surrounding white space, or fail as wrong usage."""
        reason = str(value).strip()
        if not reason:
            self.fail("it is empty", param, ctx)
        if len(reason) > MAX_REASON_LENGTH:
            self.fail(f"it is longer than {MAX_REASON_LENGTH} characters", param, ctx)
        if not is_showable(reason):
            self.fail("it has characters that cannot be shown", param, ctx)
        return reason


FILTERS = (
    click.option("--dead-reason", type=EnumChoice(DeadReason), help="Only messages that died for this reason."),
    click.option("--channel", type=EnumChoice(CHANNELS), help="Only messages of this channel."),
    click.option(
        "--template",
        type=EnumChoice(TEMPLATES_AND_WORK),
        help="Only messages of this template or kind of work.",
    ),
    click.option("--provider", help="Only messages last attempted by this provider."),
    click.option("--recipient", help="Only messages to exactly this address or number."),
    click.option("--created-after", type=Moment(), help="Only messages enqueued at this time (UTC) or later."),
    click.option("--created-before", type=Moment(), help="Only messages enqueued before this time (UTC)."),
    click.option("--cause", help="Only messages of this cause; `outboxctl groups` shows the ids."),
)
DELIVERY_FILTERS = (
    click.option(
        "--delivery-state", type=EnumChoice(ReportKind), help="Only sent messages that were reported like this."
    ),
    click.option("--bounce-cause", help="Only bounces of this cause; `outboxctl bounces` shows the ids."),
)

json_option = click.option("--json", "is_json", is_flag=True, help="Write one JSON object per line, for programs.")
reason_option = click.option("--reason", type=Reason(), required=True, help="Why; stored in the audit.")
reason_or_dry_run_option = click.option(
    "--reason", type=Reason(), help="Why; stored in the audit. Required, except for a dry run."
)
dry_run_option = click.option("--dry-run", "is_dry_run", is_flag=True, help="Show the effect, and change nothing.")
confirmation_option = click.option("--yes", "is_confirmed", is_flag=True, help="Do not ask for confirmation.")
status_option = click.option("--status", type=EnumChoice(Status), help="Only messages with this status.")
limit_option = click.option(
    "--limit", type=click.IntRange(1, MAX_LIMIT), default=50, show_default=True, help="How many to list at most."
)


def filter_options(command: Command) -> Command:
    """Add the options that make up a ``MessageFilter``."""
    for option in reversed(FILTERS):
        command = option(command)
    return command


def delivery_filter_options(command: Command) -> Command:
    """Add the options of a ``MessageFilter`` that select only sent messages."""
    for option in reversed(DELIVERY_FILTERS):
        command = option(command)
    return command


def reveal_options(command: Command) -> Command:
    """Add the options that reveal addresses, which leaves an audit row."""
    command = click.option("--reason", type=Reason(), help="Why addresses are revealed; stored in the audit.")(command)
    return click.option("--reveal", is_flag=True, help="Show addresses unmasked; needs --reason.")(command)


def reveal_reason(*, reveal: bool, reason: str | None) -> str | None:
    """Return the reason for revealing addresses, or None to mask them. Either option alone is wrong usage."""
    if not reveal:
        if reason:
            raise click.UsageError("--reason is the reason for revealing addresses: add --reveal.")
        return None
    if not reason:
        raise click.UsageError("--reveal is recorded in the audit: add --reason.")
    return reason


def confirm(question: str, *, is_confirmed: bool) -> None:
    """Ask for confirmation on a terminal, unless ``--yes`` was given."""
    if is_confirmed:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Confirmation needs a terminal: add --yes.")
    click.confirm(question, abort=True)


def audit_context(reason: str) -> AuditContext:
    """Return the context for actions of this machine's current user."""
    return AuditContext(operator=_user(), reason=reason)


def _user() -> str:
    with suppress(KeyError):  # a container's uid may have no name
        if is_showable(user := pwd.getpwuid(os.getuid()).pw_name):  # not LOGNAME, which the user can set
            return user
    return f"uid {os.getuid()}"
