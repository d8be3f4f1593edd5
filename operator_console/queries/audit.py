"""Queries for audit rows, the record of operators' actions."""

from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from operator_console.views import ActionView, from_row
from shared.models import OperatorAction


def actions_on(session: Session, message_id: UUID) -> tuple[ActionView, ...]:
    """Return the operator actions on a message, oldest first."""
    query = select(OperatorAction).where(OperatorAction.message_id == message_id).order_by(OperatorAction.id)
    return _views(session, query)


def list_actions(session: Session, *, limit: int = 50, before_id: int | None = None) -> tuple[ActionView, ...]:
    """Return up to ``limit`` audit rows older than ``before_id``, newest first."""
    query = select(OperatorAction).order_by(OperatorAction.id.desc()).limit(limit)
    return _views(session, query if before_id is None else query.where(OperatorAction.id < before_id))


def _views(session: Session, query: Select[OperatorAction]) -> tuple[ActionView, ...]:
    return tuple(from_row(ActionView, row) for row in session.scalars(query))
