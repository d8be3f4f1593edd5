"""Messages, as a list page by page, and one with all that is known of it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, Text, and_, case, select, type_coerce
from sqlalchemy.orm import Session, aliased

from operator_console.filters import MessageFilter, Messages, cause_of, found_by_index, looked_for
from operator_console.reading.actions import actions_of
from operator_console.reading.attempts import attempts_of, without_addresses, without_recipient
from operator_console.reading.timeline import timeline_of
from operator_console.views import ActionView, Mask, MessageDetail, MessageView, Page
from shared.masks import masked
from shared.models import OutboxMessage, Word
from shared.vocabulary import Status

MOST_ROWS_LOOKED_AT = 10_000
"""By one statement, so that it answers within a fifth of a second however little it finds."""

SEARCH_SECONDS = 1.0
"""After which no further statement is begun: whoever looks on then sees that it goes on."""


def list_messages(
    session: Session, wanted: MessageFilter, *, limit: int = 50, cursor: UUID | None = None, mask: Mask = masked
) -> Page:
    """Return up to ``limit`` messages that the filter lets through, older than ``cursor``, newest first.

    Both statements walk an index by id, from the cursor: one as far as it has to, and where that was too far, one
    that asks where it ended.
    """
    begin = [*found_by_index(wanted), *([] if cursor is None else [OutboxMessage.id < cursor])]
    rows = session.execute(_looking(begin, wanted, limit + 1)).all()
    messages = tuple(_view(row, mask) for row in rows[:limit])
    if len(rows) > limit:
        return Page(messages, next_cursor=messages[-1].id)
    horizon = _horizon(session, begin) if looked_for(wanted) else None
    if horizon is None:
        return Page(messages, next_cursor=None)
    return Page(messages, next_cursor=horizon.id, looked_back_to=horizon.created_at)


def search_messages(session: Session, wanted: MessageFilter, *, limit: int = 50, cursor: UUID | None = None) -> Page:
    """Return the same, masked, of a search that goes on from statement to statement for SEARCH_SECONDS if it must."""
    began = time.monotonic()
    found = list_messages(session, wanted, limit=limit, cursor=cursor)
    while found.next_cursor and len(found.messages) < limit and time.monotonic() - began < SEARCH_SECONDS:
        more = list_messages(session, wanted, limit=limit - len(found.messages), cursor=found.next_cursor)
        found = replace(more, messages=found.messages + more.messages)
    return found


def _looking(begin: list[ColumnElement[bool]], wanted: MessageFilter, limit: int) -> Select[Any]:
    """Look at the first rows only, whatever is found among them: their own limit keeps the planner to that."""
    newest = OutboxMessage.id.desc()
    if not looked_for(wanted):
        return _messages().where(*begin).order_by(newest).limit(limit)
    looked_at = select(OutboxMessage).where(*begin).order_by(newest).limit(MOST_ROWS_LOOKED_AT).subquery()
    looked = aliased(OutboxMessage, looked_at)
    return _messages(looked).where(*looked_for(wanted, looked)).order_by(looked.id.desc()).limit(limit)


def _horizon(session: Session, begin: list[ColumnElement[bool]]) -> Row[UUID, datetime] | None:
    """Return the last row that is looked at, or None if all that are left may be."""
    ids = select(OutboxMessage.id).where(*begin).order_by(OutboxMessage.id.desc())
    last = ids.offset(MOST_ROWS_LOOKED_AT - 1).limit(1).scalar_subquery()
    return session.execute(
        select(OutboxMessage.id, OutboxMessage.created_at).where(OutboxMessage.id == last)
    ).one_or_none()


def show_message(session: Session, message_id: UUID, *, mask: Mask = masked) -> MessageDetail | None:
    """Return one message with its failed attempts and what operators did to it, or None."""
    message = session.execute(_messages().where(OutboxMessage.id == message_id)).one_or_none()
    if message is None:
        return None
    attempts, actions = attempts_of(session, message, mask), actions_of(session, message_id)
    fallback = _fallback_of(session, message)
    return MessageDetail(
        **vars(_view(message, mask)),
        locale=message.locale,
        last_error=without_addresses(message.last_error, message.recipient, mask),
        provider_message_id=_id_there(message, actions, mask),
        expires_at=message.expires_at,
        leased_until=message.leased_until,
        fallback_channel=message.fallback_channel,
        fallback_at=message.fallback_at,
        fallback_of=message.fallback_of,
        fell_back_to=fallback and fallback.id,
        attempts=attempts,
        operator_actions=actions,
        timeline=timeline_of(message, attempts, actions, fallback and fallback.created_at),
    )


def _id_there(message: Row[Any], actions: Sequence[ActionView], mask: Mask) -> str | None:
    """Return what the provider calls the message, less addresses.

    At an SMS provider that may be nothing but digits, as a number is: they are masked only where another number was
    corrected, since by them the provider is asked.
    """
    was_corrected = any("recipient" in (one.after or {}) for one in actions)
    less = without_addresses if "@" in message.recipient or was_corrected else without_recipient
    return less(message.provider_message_id, message.recipient, mask)


def _messages(messages: Messages = OutboxMessage) -> Select[Any]:
    # Words stay the text they are: a newer release may have written some that this one does not know.
    columns = [
        type_coerce(getattr(messages, column.key), Text).label(column.key)
        if isinstance(column.type, Word)
        else getattr(messages, column.key)
        for column in OutboxMessage.__table__.columns
    ]
    return select(*columns, case((messages.status == Status.DEAD, cause_of(messages))).label("cause"))


def _view(message: Row[Any], mask: Mask) -> MessageView:
    return MessageView(
        id=message.id,
        status=message.status,
        dead_reason=message.dead_reason,
        template=message.template,
        channel=message.channel,
        recipient=mask(message.recipient),
        attempt=message.attempt,
        max_attempts=message.max_attempts,
        provider=message.provider,
        last_error_class=message.last_error_class,
        created_at=message.created_at,
        due_at=message.due_at if message.status == Status.PENDING else None,
        settled_at=message.settled_at,
        cause=message.cause,
    )


def _fallback_of(session: Session, message: Row[Any]) -> Row[UUID, datetime] | None:
    """Return the message that this one fell back to."""
    if message.user_id is None:
        return None
    is_second = and_(OutboxMessage.user_id == message.user_id, OutboxMessage.fallback_of == message.id)
    return session.execute(select(OutboxMessage.id, OutboxMessage.created_at).where(is_second)).first()
