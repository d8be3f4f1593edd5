"""Commands that only read: status, messages, causes and the audit."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import click
from sqlalchemy.orm import Session, sessionmaker

from operator_console.actions.audit import record_reveal
from operator_console.cli.database import fail, report_error, session_maker, transaction
from operator_console.cli.options import (
    audit_context,
    delivery_filter_options,
    filter_options,
    json_option,
    limit_option,
    reveal_options,
    reveal_reason,
    status_option,
)
from operator_console.cli.output import show_object, show_rows, writes_json
from operator_console.cli.pauses import PAUSE_COLUMNS, PROVIDER_COLUMNS
from operator_console.errors import UnknownMessageError
from operator_console.filters import MessageFilter
from operator_console.queries.audit import list_actions
from operator_console.queries.causes import list_bounce_causes, list_causes
from operator_console.queries.messages import list_messages, show_message
from operator_console.queries.stats import stats
from operator_console.views import HourView, Mask, MessageView, Stats, as_json, unmasked
from shared.texts import masked

MESSAGE_COLUMNS = (
    "id",
    "status",
    "dead_reason",
    "delivery_state",
    "template",
    "channel",
    "recipient",
    "attempt",
    "last_error_class",
    "created_at",
)
CAUSE_COLUMNS = ("cause", "messages", "dead_reason", "provider", "error", "first_seen", "last_seen")
BOUNCE_COLUMNS = ("bounce_cause", "messages", "cause", "status_code", "diagnostic", "first_seen", "last_seen")
AUDIT_COLUMNS = ("id", "acted_at", "operator", "action", "message_id", "bulk_id", "reason", "before", "after")
BACKLOG_COLUMNS = (
    "channel",
    "due",
    "pending",
    "lag_seconds",
    "oldest_pending_seconds",
    "sent_last_2_hours",
    "dead_last_2_hours",
)
RELAY_COLUMNS = ("host", "channels", "version", "started_at")
PAGE_SIZE = 500
MAX_BIGINT = 2**63 - 1
RECENT_HOURS = 2
"""The current hour and the one before, because the current one may have just started."""


@click.command("status")
@json_option
def status_command(*, is_json: bool) -> None:
    """Show backlog, outcomes, breakers, pauses and relays."""
    with transaction() as session:
        found = stats(session)
    if writes_json(is_json=is_json):
        show_object(as_json(found), is_json=True)
        return
    show_rows(_by_channel(found), BACKLOG_COLUMNS, is_json=False)
    click.echo(
        f"\n{found.dead}{' or more' if found.is_dead_capped else ''} dead; `outboxctl groups` shows the causes\n"
    )
    show_rows([as_json(provider) for provider in found.providers], PROVIDER_COLUMNS, is_json=False)
    if found.pauses:
        click.echo("\npaused by operators:\n")
        show_rows([as_json(pause) for pause in found.pauses], PAUSE_COLUMNS, is_json=False)
    alive = "1 relay" if len(found.relays) == 1 else f"{len(found.relays)} relays"
    click.echo(f"\n{alive} alive{'' if found.relays else ': nothing is delivered'}\n")
    show_rows([as_json(relay) for relay in found.relays], RELAY_COLUMNS, is_json=False)


def _by_channel(found: Stats) -> list[dict[str, object]]:
    """Return a row for each channel: its backlog, and its outcomes in the last hours."""
    recent = sorted({one.hour for one in found.hours})[-RECENT_HOURS:]
    return [
        {
            "channel": one.channel,
            "due": one.due,
            "pending": f"{one.pending}{' or more' if one.is_capped else ''}",
            "lag_seconds": round(one.lag_seconds, 1),
            "oldest_pending_seconds": round(one.oldest_pending_seconds, 1),
            "sent_last_2_hours": sum(hour.sent for hour in found.hours if _is_of(hour, one.channel, recent)),
            "dead_last_2_hours": sum(hour.dead for hour in found.hours if _is_of(hour, one.channel, recent)),
        }
        for one in found.backlog
    ]


def _is_of(hour: HourView, channel: str, recent: list[datetime]) -> bool:
    return hour.channel == channel and hour.hour in recent


@click.command("list")
@status_option
@filter_options
@delivery_filter_options
@limit_option
@click.option("--before", "cursor", type=click.UUID, help="Only messages older than this one: the next page.")
@reveal_options
@json_option
def list_command(
    limit: int, cursor: UUID | None, *, reveal: bool, reason: str | None, is_json: bool, **filters: Any
) -> None:
    """List messages, newest first.

    Recipients are masked. A terminal gets a table, a pipe gets JSON lines.
    """
    why, wanted = reveal_reason(reveal=reveal, reason=reason), MessageFilter.of(**filters)
    with session_maker() as sessions:
        before = {"before": str(cursor)} if cursor else {}
        query = {"filter": wanted.masked(), "limit": limit} | before
        mask = masked if why is None else _unmasked_after_record(sessions, why, **query)
        found = [as_json(message) for message in _messages(sessions, wanted, limit, cursor, mask)]
    show_rows(found, MESSAGE_COLUMNS, is_json=is_json)


def _messages(
    sessions: sessionmaker[Session], wanted: MessageFilter, limit: int, cursor: UUID | None, mask: Mask
) -> Iterator[MessageView]:
    """Yield up to ``limit`` messages, page by page; a page may be short and still have a next one."""
    left = limit
    while left:
        with sessions.begin() as session:
            page = list_messages(session, wanted, limit=min(left, PAGE_SIZE), cursor=cursor, mask=mask)
        yield from page.messages
        left -= len(page.messages)
        cursor = page.next_cursor
        if cursor is None:
            return


@click.command("show")
@click.argument("message_id", type=click.UUID)
@reveal_options
@click.option("--json", "is_json", is_flag=True, help="Write one JSON object, for programs.")
def show_command(message_id: UUID, *, reveal: bool, reason: str | None, is_json: bool) -> None:
    """Show one message with its timeline."""
    why = reveal_reason(reveal=reveal, reason=reason)
    with session_maker() as sessions:
        mask = masked if why is None else _unmasked_after_record(sessions, why, message_id=message_id)
        try:
            with sessions.begin() as session:
                message = show_message(session, message_id, mask=mask)
        except UnknownMessageError as error:
            fail(f"message {message_id} {error}")
    show_object(as_json(message), is_json=is_json)


def _unmasked_after_record(sessions: sessionmaker[Session], reason: str, **query: Any) -> Mask:
    """Return the mask that reveals addresses, after the audit row is committed."""
    with sessions.begin() as session:
        record_reveal(session, audit_context(reason), **query)
    return unmasked


@click.command("groups")
@json_option
def groups_command(*, is_json: bool) -> None:
    """Count dead letters by cause.

    Most frequent causes come first. `list --cause` and `requeue --cause` accept their ids. Replies that differ only in
    numbers, addresses and ids have the same cause. A terminal gets a table, a pipe gets JSON lines.
    """
    with transaction() as session:
        found = list_causes(session)
    show_rows([as_json(cause) for cause in found.causes], CAUSE_COLUMNS, is_json=is_json)
    if not found.is_complete:
        report_error(f"there are more causes than these {len(found.causes)}")


@click.command("bounces")
@json_option
def bounces_command(*, is_json: bool) -> None:
    """Count the messages that bounced in the last seven days by cause.

    Most frequent causes come first. `list --bounce-cause` accepts their ids. A terminal gets a table, a pipe gets JSON
    lines.
    """
    with transaction() as session:
        found = list_bounce_causes(session)
    show_rows([as_json(cause) for cause in found.causes], BOUNCE_COLUMNS, is_json=is_json)
    if not found.is_complete:
        report_error("there are more bounces than these")


@click.command("audit")
@limit_option
@click.option("--before", "before_id", type=click.IntRange(1, MAX_BIGINT), help="Only rows before this one.")
@json_option
def audit_command(limit: int, before_id: int | None, *, is_json: bool) -> None:
    """List operators' actions, newest first.

    A terminal gets a table, a pipe gets JSON lines.
    """
    with transaction() as session:
        actions = list_actions(session, limit=limit, before_id=before_id)
    show_rows([as_json(action) for action in actions], AUDIT_COLUMNS, is_json=is_json)
