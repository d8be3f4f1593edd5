"""How things stand: backlog, lag, the last hours, providers with their breakers, relays."""

from datetime import datetime

import click

from operator_console.cli.database import database
from operator_console.cli.options import json_option
from operator_console.cli.output import is_for_programs, show_lines, show_rows
from operator_console.reading import list_providers, stats
from operator_console.views import HourView, Stats, as_json

PROVIDERS_LISTED = ("provider", "breaker", "since", "last_failure_class", "last_failed_at", "rate")
BACKLOG_LISTED = ("channel", "due", "pending", "lag_seconds", "sent_last_hours", "dead_last_hours")
RELAYS_LISTED = ("host", "channels", "version", "started_at")
LATELY_HOURS = 2
"""The present hour and the one before: the present alone has just begun, now and then."""


@click.command("status")
@json_option
def status_command(*, is_json: bool) -> None:
    """Tell how the outbox stands: what waits and for how long, what was sent and died lately, breakers, relays."""
    with database() as session:
        found = stats(session)
    if is_for_programs(is_json=is_json):
        show_lines(as_json(found), is_json=True)
        return
    show_rows(_by_channel(found), BACKLOG_LISTED, is_json=False)
    click.echo(f"\n{found.dead}{' or more' if found.is_more_dead else ''} dead; `outboxctl groups` tells of what\n")
    show_rows([as_json(provider) for provider in found.providers], PROVIDERS_LISTED, is_json=False)
    click.echo(f"\n{len(found.relays)} relays alive{'' if found.relays else ': nothing is delivered'}\n")
    show_rows([as_json(relay) for relay in found.relays], RELAYS_LISTED, is_json=False)


def _by_channel(found: Stats) -> list[dict[str, object]]:
    """Return a row for each channel: what waits, and what came of messages in the last hours."""
    lately = sorted({one.hour for one in found.hours})[-LATELY_HOURS:]
    return [
        {
            "channel": one.channel,
            "due": one.due,
            "pending": f"{one.pending}{' or more' if one.is_more else ''}",
            "lag_seconds": round(one.lag_seconds, 1),
            "sent_last_hours": sum(hour.sent for hour in found.hours if _is_of(hour, one.channel, lately)),
            "dead_last_hours": sum(hour.dead for hour in found.hours if _is_of(hour, one.channel, lately)),
        }
        for one in found.backlog
    ]


def _is_of(hour: HourView, channel: str, lately: list[datetime]) -> bool:
    return hour.channel == channel and hour.hour in lately


@click.command("providers")
@json_option
def providers_command(*, is_json: bool) -> None:
    """List the providers: breaker, since when, last failure, rate. A terminal gets a table, a pipe gets JSON lines."""
    with database() as session:
        providers = list_providers(session)
    show_rows([as_json(provider) for provider in providers], PROVIDERS_LISTED, is_json=is_json)
