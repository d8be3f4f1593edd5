"""Messages: lists page by page, and one message with its attempts and timeline."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, Text, and_, case, select, type_coerce
from sqlalchemy.orm import Session, aliased

from operator_console.errors import UnknownMessageError
from operator_console.filters import MessageFilter, Messages, cause_of, index_conditions, row_conditions
from operator_console.queries.audit import actions_on
from operator_console.views import (
    ActionView,
    AttemptView,
    Mask,
    MessageDetail,
    MessageView,
    Page,
    ReportView,
    TimelineEntry,
    from_row,
)
from shared.models import DELIVERY_STATES, DeliveryAttempt, EnumText, OutboxMessage, ReportRow
from shared.texts import masked
from shared.vocabulary import Status

MAX_ROWS_SCANNED = 10_000
"""Per statement, so that a statement without results also takes at most 0.2 seconds."""

SEARCH_SECONDS = 1.0
"""After this time a search returns the messages found so far, and the cursor for the rest."""

REQUEUE, REVEAL = "requeue", "reveal"
"""Members of ``actions.audit.Action``: queries import no actions."""

# An address, also where its @ is percent-encoded; a phone number, however it is spaced.
_EMAIL_ADDRESS = re.compile(r"""[^\s<>"'();,:=]+(?:@|%40)[^\s<>"'();,]+""", re.IGNORECASE)
_PHONE_NUMBER = re.compile(r"\+?\(?\d(?:[\s()./-]{0,2}\d){6,}")


def list_messages(
    session: Session, wanted: MessageFilter, *, limit: int = 50, cursor: UUID | None = None, mask: Mask = masked
) -> Page:
    """Return up to ``limit`` matching messages older than ``cursor``, newest first, after a limited scan.

    Both statements walk an index by id from the cursor: the first finds matches, the second the last row scanned.
    """
    start = [*index_conditions(wanted), *([] if cursor is None else [OutboxMessage.id < cursor])]
    rows = session.execute(_page_query(start, wanted, limit + 1)).all()
    states = _delivery_states(session, [row.id for row in rows[:limit]])
    messages = tuple(
        from_row(MessageView, row, **_changed(row, mask), delivery_state=states.get(row.id)) for row in rows[:limit]
    )
    if len(rows) > limit:
        return Page(messages, next_cursor=messages[-1].id)
    last = _last_scanned(session, start) if row_conditions(wanted) else None
    if last is None:
        return Page(messages, next_cursor=None)
    return Page(messages, next_cursor=last.id, searched_back_to=last.created_at)


def search_messages(session: Session, wanted: MessageFilter, *, limit: int = 50, cursor: UUID | None = None) -> Page:
    """Return the same, masked, and continue the search for up to SEARCH_SECONDS until the page is full."""
    started = time.monotonic()
    found = list_messages(session, wanted, limit=limit, cursor=cursor)
    while found.next_cursor and len(found.messages) < limit and time.monotonic() - started < SEARCH_SECONDS:
        more = list_messages(session, wanted, limit=limit - len(found.messages), cursor=found.next_cursor)
        found = replace(more, messages=found.messages + more.messages)
    return found


def _page_query(start: list[ColumnElement[bool]], wanted: MessageFilter, limit: int) -> Select[Any]:
    """Limit the scanned rows in a subquery, so that the planner cannot scan further for matches."""
    newest = OutboxMessage.id.desc()
    if not row_conditions(wanted):
        return _messages().where(*start).order_by(newest).limit(limit)
    scanned_rows = select(OutboxMessage).where(*start).order_by(newest).limit(MAX_ROWS_SCANNED).subquery()
    scanned = aliased(OutboxMessage, scanned_rows)
    return _messages(scanned).where(*row_conditions(wanted, scanned)).order_by(scanned.id.desc()).limit(limit)


def _last_scanned(session: Session, start: list[ColumnElement[bool]]) -> Row[UUID, datetime] | None:
    """Return the last row that the scan reaches, or None if it reaches the end."""
    ids = select(OutboxMessage.id).where(*start).order_by(OutboxMessage.id.desc())
    last = ids.offset(MAX_ROWS_SCANNED - 1).limit(1).scalar_subquery()
    return session.execute(
        select(OutboxMessage.id, OutboxMessage.created_at).where(OutboxMessage.id == last)
    ).one_or_none()


def show_message(session: Session, message_id: UUID, *, mask: Mask = masked) -> MessageDetail:
    """Return one message with its failed attempts, operator actions and timeline. Raises UnknownMessageError."""
    message = session.execute(_messages().where(OutboxMessage.id == message_id)).one_or_none()
    if message is None:
        raise UnknownMessageError
    attempts, actions = _attempts_of(session, message, mask), actions_on(session, message_id)
    reports = _reports_of(session, message, mask)
    fallback = _fallback_of(session, message)
    return from_row(
        MessageDetail,
        message,
        **_changed(message, mask),
        last_error=_mask_addresses(message.last_error, message.recipient, mask),
        provider_message_id=_provider_message_id(message, actions, mask),
        fell_back_to=fallback and fallback.id,
        delivery_state=_delivery_states(session, [message_id]).get(message_id),
        attempts=attempts,
        reports=reports,
        operator_actions=actions,
        timeline=timeline_of(message, attempts, reports, actions, fallback and fallback.created_at),
    )


def timeline_of(
    message: Row[Any],
    attempts: Sequence[AttemptView],
    reports: Sequence[ReportView],
    actions: Sequence[ActionView],
    fell_back_at: datetime | None,
) -> tuple[TimelineEntry, ...]:
    """Return the message's events, oldest first.

    The message itself has only its last settlement. Earlier deaths show in attempts and in audit rows.
    """
    entries = [TimelineEntry(message.created_at, "enqueued", detail=message.channel)]
    entries += [
        TimelineEntry(one.ended_at, "failed" if one.outcome == Status.DEAD else one.outcome, one.provider, one.error)
        for one in attempts
    ]
    entries += _deaths(message, attempts, [one for one in actions if one.action != REVEAL])
    entries += [TimelineEntry(one.received_at, one.event, detail=one.detail) for one in reports]
    entries += [TimelineEntry(one.acted_at, one.event, one.operator, one.reason, one.bulk_id) for one in actions]
    if fell_back_at:
        entries.append(TimelineEntry(fell_back_at, "fell_back", detail=message.fallback_channel))
    if message.status == Status.SENT:
        entries.append(TimelineEntry(message.settled_at, message.status, message.provider))
    return tuple(sorted(entries, key=lambda entry: entry.at))


def _deaths(
    message: Row[Any], attempts: Sequence[AttemptView], actions: Sequence[ActionView]
) -> Iterator[TimelineEntry]:
    """Yield an entry for each death: one before each requeue, and the last one if the message is dead.

    The first action after a death has its reason; later ones may have the reason ``discarded``. A requeue overwrites
    the time of the death. So if no attempt ended with it, the entry has the time at which an operator found it dead.
    """
    born_at, later = message.created_at, list[ActionView]()
    for action in actions:
        later.append(action)
        if action.action == REQUEUE:
            reason, found_at = later[0].before.get("dead_reason"), later[0].acted_at
            last = [one for one in attempts if one.outcome == Status.DEAD and born_at < one.ended_at <= found_at][-1:]
            yield (
                TimelineEntry(found_at, "was_dead", detail=reason)
                if not last
                else TimelineEntry(last[0].ended_at, "dead", last[0].provider, reason)
            )
            born_at, later = action.acted_at, []
    if message.status == Status.DEAD:
        reason = later[0].before.get("dead_reason") if later else message.dead_reason
        yield TimelineEntry(message.settled_at, "dead", message.provider, reason)


def _attempts_of(session: Session, message: Row[Any], mask: Mask) -> tuple[AttemptView, ...]:
    query = select(DeliveryAttempt).where(DeliveryAttempt.message_id == message.id).order_by(DeliveryAttempt.id)
    return tuple(
        from_row(AttemptView, one, error=_mask_addresses(one.error, message.recipient, mask))
        for one in session.scalars(query)
    )


def _reports_of(session: Session, message: Row[Any], mask: Mask) -> tuple[ReportView, ...]:
    is_applied = and_(ReportRow.message_id == message.id, ReportRow.applied_at.is_not(None))
    query = select(ReportRow).where(is_applied).order_by(ReportRow.received_at, ReportRow.id)
    return tuple(
        from_row(ReportView, one, diagnostic=_mask_addresses(one.diagnostic, message.recipient, mask))
        for one in session.scalars(query)
    )


def _delivery_states(session: Session, message_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the states of those messages that have one."""
    states = DELIVERY_STATES.c
    rows = session.execute(select(states.message_id, states.state).where(states.message_id.in_(message_ids)))
    return {row.message_id: row.state for row in rows}


def _provider_message_id(message: Row[Any], actions: Sequence[ActionView], mask: Mask) -> str | None:
    """Return the provider's id of the message without addresses.

    An SMS provider's id may look like a phone number. Such ids stay readable, because operators need them to ask the
    provider, unless the message's number was corrected and the id might contain the old one.
    """
    was_corrected = any("recipient" in (one.after or {}) for one in actions)
    mask_text = _mask_addresses if "@" in message.recipient or was_corrected else _mask_recipient
    return mask_text(message.provider_message_id, message.recipient, mask)


def _mask_addresses(text: str | None, recipient: str, mask: Mask) -> str | None:
    """Mask all addresses in a provider's reply; it may contain one from before a correction."""
    if not text:
        return text
    address = _EMAIL_ADDRESS if "@" in recipient else _PHONE_NUMBER
    return address.sub(lambda found: mask(found[0]), _mask_recipient(text, recipient, mask) or "")


def _mask_recipient(text: str | None, recipient: str, mask: Mask) -> str | None:
    """Mask the recipient in a provider's reply, in upper or lower case, and a number also without its plus."""
    if not text or not recipient:
        return text
    number = recipient.removeprefix("+")
    plus = r"\+?" if number != recipient else ""
    return re.sub(plus + re.escape(number), lambda _: mask(recipient), text, flags=re.IGNORECASE)


def _messages(messages: Messages = OutboxMessage) -> Select[Any]:
    # Enums are read as text: a newer release may have stored members unknown to this one.
    columns = [
        type_coerce(getattr(messages, column.key), Text).label(column.key)
        if isinstance(column.type, EnumText)
        else getattr(messages, column.key)
        for column in OutboxMessage.__table__.columns
    ]
    return select(*columns, case((messages.status == Status.DEAD, cause_of(messages))).label("cause"))


def _changed(message: Row[Any], mask: Mask) -> dict[str, Any]:
    """Return the fields of a view that differ from the row's columns."""
    due_at = message.due_at if message.status == Status.PENDING else None
    return {"recipient": mask(message.recipient), "due_at": due_at}


def _fallback_of(session: Session, message: Row[Any]) -> Row[UUID, datetime] | None:
    """Return the message that this one fell back to."""
    if message.user_id is None:
        return None
    is_fallback = and_(OutboxMessage.user_id == message.user_id, OutboxMessage.fallback_of == message.id)
    return session.execute(select(OutboxMessage.id, OutboxMessage.created_at).where(is_fallback)).first()
