"""Messages, as a list page by page, one with all that is known of it, and how many there are."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, Text, and_, case, func, select, type_coerce
from sqlalchemy.orm import Session

from operator_console.filters import MessageFilter, cause_of_message, found_by_index, looked_for
from operator_console.reading.actions import actions_of
from operator_console.reading.attempts import attempts_of, without_recipient
from operator_console.reading.timeline import timeline_of
from operator_console.views import Mask, MessageDetail, MessageView, Page
from shared.addresses import masked
from shared.models import OutboxMessage, Word
from shared.vocabulary import Status

MOST_ROWS_LOOKED_AT = 50_000
"""By one statement, so that it answers within a fifth of a second however little it finds."""


def list_messages(
    session: Session, wanted: MessageFilter, *, limit: int = 50, cursor: UUID | None = None, mask: Mask = masked
) -> Page:
    """Return up to ``limit`` messages that the filter lets through, older than ``cursor``, newest first.

    One statement finds how far to look, and one looks: both walk an index by id, from the cursor.
    """
    begin = [*found_by_index(wanted), *([] if cursor is None else [OutboxMessage.id < cursor])]
    horizon = _horizon(session, begin)
    within = begin if horizon is None else [*begin, OutboxMessage.id >= horizon.id]
    query = _messages().where(*within, *looked_for(wanted)).order_by(OutboxMessage.id.desc()).limit(limit + 1)
    rows = session.execute(query).all()
    messages = tuple(_view(row, mask) for row in rows[:limit])
    if len(rows) > limit:
        return Page(messages, next_cursor=messages[-1].id)
    if horizon is None:
        return Page(messages, next_cursor=None)
    return Page(messages, next_cursor=horizon.id, looked_back_to=horizon.created_at)


def _horizon(session: Session, begin: list[ColumnElement[bool]]) -> Row[UUID, datetime] | None:
    """Return the last row that is looked at, or None if all that are left may be."""
    ids = select(OutboxMessage.id).where(*begin).order_by(OutboxMessage.id.desc())
    last = ids.offset(MOST_ROWS_LOOKED_AT - 1).limit(1).scalar_subquery()
    return session.execute(
        select(OutboxMessage.id, OutboxMessage.created_at).where(OutboxMessage.id == last)
    ).one_or_none()


def count_messages(session: Session, wanted: MessageFilter) -> int:
    """Return how many messages the filter lets through; looks at each that its index leaves."""
    query = select(func.count()).select_from(OutboxMessage).where(*found_by_index(wanted), *looked_for(wanted))
    return session.scalar(query) or 0


def show_message(session: Session, message_id: UUID, *, mask: Mask = masked) -> MessageDetail | None:
    """Return one message with its failed attempts and what operators did to it, or None."""
    message = session.execute(_messages().where(OutboxMessage.id == message_id)).one_or_none()
    if message is None:
        return None
    attempts, actions = attempts_of(session, message, mask), actions_of(session, message_id)
    return MessageDetail(
        **vars(_view(message, mask)),
        locale=message.locale,
        last_error=without_recipient(message.last_error, message.recipient, mask),
        provider_message_id=message.provider_message_id,
        expires_at=message.expires_at,
        leased_until=message.leased_until,
        fallback_channel=message.fallback_channel,
        fallback_at=message.fallback_at,
        fallback_of=message.fallback_of,
        fell_back_to=(fallback := _fallback_of(session, message)) and fallback.id,
        attempts=attempts,
        operator_actions=actions,
        timeline=timeline_of(message, attempts, actions, fallback and fallback.created_at),
    )


def _messages() -> Select[Any]:
    # Words stay the text they are: a newer release may have written some that this one does not know.
    columns = OutboxMessage.__table__.columns
    cause = case((OutboxMessage.status == Status.DEAD, cause_of_message())).label("cause")
    return select(
        *(type_coerce(column, Text) if isinstance(column.type, Word) else column for column in columns), cause
    )


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
    is_second = and_(OutboxMessage.user_id == message.user_id, OutboxMessage.fallback_of == message.id)
    return session.execute(select(OutboxMessage.id, OutboxMessage.created_at).where(is_second)).first()
