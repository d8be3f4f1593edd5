"""Commands that pause and resume providers, channels and templates, and have relays probe a provider."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import click

from operator_console.actions.pauses import (
    MAX_PAUSE_MINUTES,
    PauseImpact,
    PauseTarget,
    count_impact,
    pause,
    probe,
    resume,
)
from operator_console.cli.database import fail, session_maker, transaction
from operator_console.cli.options import (
    audit_context,
    confirm,
    confirmation_option,
    dry_run_option,
    json_option,
    reason_option,
)
from operator_console.cli.output import show_rows
from operator_console.errors import ActionError
from operator_console.queries.stats import list_pauses, list_providers
from operator_console.views import as_json
from shared.command_line import EnumChoice
from shared.templates import TEMPLATES_AND_WORK
from shared.vocabulary import CHANNELS, PauseKind

PROVIDER_COLUMNS = ("provider", "breaker", "since", "last_failure_class", "last_failed_at", "rate", "last_error")
PAUSE_COLUMNS = ("kind", "name", "until", "paused_at", "operator", "reason")


@click.group("providers")
def providers_commands() -> None:
    """List, pause, resume and probe providers."""


@click.group("channels")
def channels_commands() -> None:
    """Pause and resume channels."""


@click.group("templates")
def templates_commands() -> None:
    """Pause and resume templates."""


@providers_commands.command("list")
@json_option
def list_providers_command(*, is_json: bool) -> None:
    """List the providers of the running relays, with their circuit breakers.

    A terminal gets a table, a pipe gets JSON lines.
    """
    with transaction() as session:
        providers = list_providers(session)
    show_rows([as_json(provider) for provider in providers], PROVIDER_COLUMNS, is_json=is_json)


@providers_commands.command("probe")
@click.argument("name")
@reason_option
def probe_command(name: str, reason: str) -> None:
    """Make the open circuit breaker of a provider half-open now.

    The relays then probe the provider with messages that wait for it.
    """
    try:
        with transaction() as session:
            due = probe(session, name, audit_context(reason))
    except ActionError as error:
        fail(f"provider {name} {error}")
    click.echo(f"provider {name} will be probed; {_messages(due)} that waited for it {'is' if due == 1 else 'are'} due")


@click.command("pauses")
@json_option
def pauses_command(*, is_json: bool) -> None:
    """List what operators have paused. A terminal gets a table, a pipe gets JSON lines."""
    with transaction() as session:
        pauses = list_pauses(session)
    show_rows([as_json(one) for one in pauses], PAUSE_COLUMNS, is_json=is_json)


def _add_commands(group: click.Group, kind: PauseKind, names: Iterable[str] | None) -> None:
    """Add the commands ``pause`` and ``resume`` of a kind; ``names`` is None if only the database knows them."""
    name_argument = click.argument("name", type=str if names is None else EnumChoice(names))

    @group.command("pause", help=f"Pause a {kind}: relays deliver nothing {PREPOSITIONS[kind]} it until it is resumed.")
    @name_argument
    @reason_option
    @click.option("--minutes", type=click.IntRange(1, MAX_PAUSE_MINUTES), help="End the pause after so many minutes.")
    @dry_run_option
    @confirmation_option
    def pause_command(name: str, reason: str, minutes: int | None, **options: Any) -> None:
        _pause(PauseTarget(kind, str(name)), reason, minutes, **options)

    @group.command("resume", help=f"End the pause of a {kind}.")
    @name_argument
    @reason_option
    def resume_command(name: str, reason: str) -> None:
        try:
            with transaction() as session:
                resume(session, PauseTarget(kind, str(name)), audit_context(reason))
        except ActionError as error:
            fail(f"{kind} {name} {error}")
        click.echo(f"{kind} {name} is resumed")


PREPOSITIONS = {PauseKind.PROVIDER: "through", PauseKind.CHANNEL: "over", PauseKind.TEMPLATE: "of"}
_add_commands(providers_commands, PauseKind.PROVIDER, None)
_add_commands(channels_commands, PauseKind.CHANNEL, CHANNELS)
_add_commands(templates_commands, PauseKind.TEMPLATE, TEMPLATES_AND_WORK)


def _pause(target: PauseTarget, reason: str, minutes: int | None, *, is_dry_run: bool, is_confirmed: bool) -> None:
    """Count what a pause would do, ask for confirmation, and pause."""
    span = None if minutes is None else timedelta(minutes=minutes)
    try:
        with session_maker() as sessions:
            with sessions.begin() as session:
                [impact] = count_impact(session, target, [span])
            click.echo(_described(impact, minutes))
            if is_dry_run:
                return
            confirm(f"Pause {target.kind} {target.name}?", is_confirmed=is_confirmed)
            with sessions.begin() as session:
                paused = pause(session, target, span, audit_context(reason))
    except ActionError as error:
        fail(f"{target.kind} {target.name} {error}")
    until = f"until {paused.until:%Y-%m-%d %H:%M:%S %Z}" if paused.until else "until you resume it"
    click.echo(f"{target.kind} {target.name} is paused {until}")


def _described(impact: PauseImpact, minutes: int | None) -> str:
    """Return what a pause does to the messages that are pending now."""
    if impact.other_providers:
        return f"its messages go to {', '.join(impact.other_providers)}"
    first = f", the first at {impact.first_expires_at:%Y-%m-%d %H:%M:%S %Z}" if impact.first_expires_at else ""
    codes = "1 code expires" if impact.expiring == 1 else f"{impact.expiring} codes expire"
    when = "during the pause" if minutes else "unless you resume it before"
    return f"{_messages(impact.waiting)} would wait; {codes} {when}{first}"


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
