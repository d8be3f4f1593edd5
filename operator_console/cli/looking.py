"""Looking: messages, one message, causes, and what operators did. Addresses are masked unless revealed."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import click
from sqlalchemy.orm import Session, sessionmaker

from operator_console.cli.database import complain, database, fail, sessions
from operator_console.cli.options import (
    filter_of,
    filter_options,
    json_option,
    reveal_options,
    status_option,
    why_revealed,
)
from operator_console.cli.output import show_lines, show_rows
from operator_console.filters import MessageFilter
from operator_console.reading import list_actions, list_causes, list_messages, show_message
from operator_console.views import Mask, MessageView, as_json, unmasked
from shared.masks import masked

LISTED = (
    "id",
    "status",
    "dead_reason",
    "template",
    "channel",
    "recipient",
    "attempt",
    "last_error_class",
    "created_at",
)
GROUPED = ("cause", "messages", "dead_reason", "provider", "error", "first_seen", "last_seen")
AUDITED = ("id", "acted_at", "operator", "action", "message_id", "reason")
HIGHEST_LIMIT = 10_000
PAGE = 500
HIGHEST_ROW = 2**63 - 1
"""What a bigint can count to."""

limit_option = click.option(
    "--limit", type=click.IntRange(1, HIGHEST_LIMIT), default=50, show_default=True, help="At most so many."
)


@click.command("list")
@status_option
@filter_options
@limit_option
@click.option("--before", "cursor", type=click.UUID, help="Only messages older than this one: the next page.")
@reveal_options
@json_option
def list_command(
    limit: int, cursor: UUID | None, *, reveal: bool, reason: str | None, is_json: bool, **wanted: Any
) -> None:
    """List messages, newest first; recipients are masked. A terminal gets a table, a pipe gets JSON lines."""
    why, chosen = why_revealed(reveal=reveal, reason=reason), filter_of(wanted)
    with sessions() as made:
        before = {"before": str(cursor)} if cursor else {}
        looked_at = {"filter": chosen.masked(), "limit": limit} | before
        mask = masked if why is None else _mask_written_down(made, why, **looked_at)
        found = [as_json(message) for message in _messages(made, chosen, limit, cursor, mask)]
    show_rows(found, LISTED, is_json=is_json)


def _messages(
    made: sessionmaker[Session], wanted: MessageFilter, limit: int, cursor: UUID | None, mask: Mask
) -> Iterator[MessageView]:
    """Yield so many messages, page after page: a page that ends early only says how far it looked."""
    left = limit
    while left:
        with made.begin() as session:
            size = min(left, PAGE)
            page = list_messages(session, wanted, limit=size, cursor=cursor, mask=mask)
        yield from page.messages
        left -= len(page.messages)
        cursor = page.next_cursor
        if cursor is None:
            return


@click.command("show")
@click.argument("message_id", type=click.UUID)
@reveal_options
@click.option("--json", "is_json", is_flag=True, help="As one JSON object, for programs.")
def show_command(message_id: UUID, *, reveal: bool, reason: str | None, is_json: bool) -> None:
    """Show one message: how it stands, its failed attempts, what operators did to it, and all that in order."""
    why = why_revealed(reveal=reveal, reason=reason)
    with sessions() as made:
        mask = masked if why is None else _mask_written_down(made, why, message_id=message_id)
        with made.begin() as session:
            message = show_message(session, message_id, mask=mask)
    if message is None:
        fail(f"there is no message {message_id}")
    show_lines(as_json(message), is_json=is_json)


def _mask_written_down(made: sessionmaker[Session], reason: str, **looked_at: Any) -> Mask:
    """Return the mask that reveals addresses, once it is committed who looks at them and why."""
    from operator_console.cli.audited import write_down_look  # noqa: PLC0415 - looking starts faster without acting

    write_down_look(made, reason, **looked_at)
    return unmasked


@click.command("groups")
@json_option
def groups_command(*, is_json: bool) -> None:
    """Count dead messages by cause, the commonest first. `list --cause` and `requeue --cause` take the ids.

    Replies that differ in numbers, addresses and ids only are one cause. A terminal gets a table, a pipe gets JSON
    lines.
    """
    with database() as session:
        found = list_causes(session)
    show_rows([as_json(cause) for cause in found.causes], GROUPED, is_json=is_json)
    if not found.is_whole:
        complain(f"there are more causes than these {len(found.causes)}")


@click.command("audit")
@limit_option
@click.option("--before", "before_id", type=click.IntRange(1, HIGHEST_ROW), help="Only what was done before this row.")
@json_option
def audit_command(limit: int, before_id: int | None, *, is_json: bool) -> None:
    """List what operators did, newest first, and why. A terminal gets a table, a pipe gets JSON lines."""
    with database() as session:
        actions = list_actions(session, limit=limit, before_id=before_id)
    show_rows([as_json(action) for action in actions], AUDITED, is_json=is_json)
