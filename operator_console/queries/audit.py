"""Queries for audit rows, the record of operators' actions."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from operator_console.filters import is_about
from operator_console.views import ActionView, from_row, state_before
from shared.models import OperatorAction


def actions_on(session: Session, message_id: UUID) -> tuple[ActionView, ...]:
    """Return the operator actions on a message, oldest first."""
    rows = session.scalars(select(OperatorAction).where(is_about(message_id)).order_by(OperatorAction.id))
    return tuple(from_row(ActionView, row, message_id=message_id, before=state_before(row, message_id)) for row in rows)


def list_actions(session: Session, *, limit: int = 50, before_id: int | None = None) -> tuple[ActionView, ...]:
    """Return up to ``limit`` audit rows older than ``before_id``, newest first. A step of a bulk action is one row."""
    query = select(OperatorAction).order_by(OperatorAction.id.desc()).limit(limit)
    rows = session.scalars(query if before_id is None else query.where(OperatorAction.id < before_id))
    return tuple(from_row(ActionView, row) for row in rows)
