"""Audit rows: who did what, why, and how it stood before and after. No address stands in one, but masked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Row, Uuid, column, func, insert, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from shared.masks import masked
from shared.models import OperatorAction

MessageRow: TypeAlias = Row[*tuple[Any, ...]]


class Action(StrEnum):
    """What operators do."""

    REQUEUE = "requeue"
    DISCARD = "discard"
    UNDO_DISCARD = "undo_discard"
    REVEAL = "reveal"
    BEGIN_BULK = "begin_bulk"
    STOP_BULK = "stop_bulk"
    RESUME_BULK = "resume_bulk"
    CREATE_TOKEN = "create_token"  # noqa: S105 - the name of an action
    REPAIR = "repair"
    REVOKE_TOKEN = "revoke_token"  # noqa: S105 - the name of an action


@dataclass(frozen=True)
class Act:
    """Who changes something, and why; and of which bulk act it is a part."""

    operator: str
    reason: str
    bulk_id: UUID | None = None


@dataclass(frozen=True)
class Change:
    """Of which message, if of one, and how it stood before and after, as far as that is told."""

    message_id: UUID | None = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] | None = None


def note_messages(
    session: Session, messages: Sequence[MessageRow], action: Action, act: Act, after: dict[str, Any] | None = None
) -> None:
    """Add a row about the change of each message, with how it stood before: all by one statement."""
    # As one document: of an array of them, the driver takes each apart again for its quotes.
    changes = [{"message_id": str(message.id), "before": _standing(message)} for message in messages]
    rows = func.jsonb_to_recordset(literal(changes, JSONB)).table_valued(
        column("message_id", Uuid), column("before", JSONB)
    )
    one = rows.render_derived(name="one", with_types=True)
    told = {
        "operator": literal(act.operator),
        "action": literal(action.value),
        "reason": literal(act.reason),
        "bulk_id": literal(act.bulk_id, Uuid),
        "after": literal(after, JSONB(none_as_null=True)),
        "message_id": one.c.message_id,
        "before": one.c.before,
    }
    session.execute(insert(OperatorAction).from_select(list(told), select(*told.values())))


def _standing(message: MessageRow) -> dict[str, Any]:
    return {
        "status": message.status,
        "dead_reason": message.dead_reason,
        "attempt": message.attempt,
        "expiries": message.expiries,
        "last_error_class": message.last_error_class,
        "recipient": masked(message.recipient),
        "locale": message.locale,
    }


def note_reveal(session: Session, act: Act, message_id: UUID | None = None, **looked_at: Any) -> None:
    """Add the row about addresses that are about to be shown: of one message, or of those that were ``looked_at``.

    To be committed before they are shown, so that nothing is seen that is not written down.
    """
    note(session, Action.REVEAL, act, Change(message_id, looked_at))


def note(session: Session, action: Action, act: Act, change: Change) -> None:
    """Add an audit row to the caller's transaction."""
    session.add(
        OperatorAction(
            operator=act.operator,
            action=action.value,
            message_id=change.message_id,
            reason=act.reason,
            before=change.before,
            after=change.after,
            bulk_id=act.bulk_id,
        )
    )
