"""Audit rows: who did what and why, with the state before and after. Addresses in them are masked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.orm import Session

from shared.models import OperatorAction
from shared.texts import masked

MessageRow: TypeAlias = Row[*tuple[Any, ...]]

MAX_REASON_LENGTH = 500


class Action(StrEnum):
    """The actions of operators."""

    REQUEUE = "requeue"
    DISCARD = "discard"
    UNDO_DISCARD = "undo_discard"
    REVEAL = "reveal"
    START_BULK = "start_bulk"
    STOP_BULK = "stop_bulk"
    RESUME_BULK = "resume_bulk"
    CHANGE_PROFILE = "change_profile"
    CREATE_TOKEN = "create_token"  # noqa: S105 - the name of an action
    PAUSE = "pause"
    PROBE = "probe"
    ADOPT = "adopt"
    REPAIR = "repair"
    GET_CREDENTIALS = "get_credentials"
    REMOVE_ORGANIZATION = "remove_organization"
    RENEW_PASSWORD = "renew_password"  # noqa: S105 - the name of an action
    RESUME = "resume"
    ADD_SUPPRESSION = "add_suppression"
    REMOVE_SUPPRESSION = "remove_suppression"
    REVOKE_TOKEN = "revoke_token"  # noqa: S105 - the name of an action


@dataclass(frozen=True)
class AuditContext:
    """The operator, the reason, and the bulk action of an action with its filter, masked."""

    operator: str
    reason: str
    bulk_id: UUID | None = None
    filter: Mapping[str, Any] = field(default_factory=dict)

    def row(
        self,
        action: Action,
        message_id: UUID | None = None,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> OperatorAction:
        """Return the audit row of an action, for the caller to add to its session."""
        return OperatorAction(
            operator=self.operator,
            action=action.value,
            message_id=message_id,
            reason=self.reason,
            before=before or {},
            after=after,
            bulk_id=self.bulk_id,
        )


def record_messages(
    session: Session,
    messages: Sequence[MessageRow],
    action: Action,
    audit: AuditContext,
    after: dict[str, Any] | None = None,
) -> None:
    """Add an audit row for each message, with its state before the action, or one row for a step of a bulk action."""
    states = [_state(message) for message in messages]
    if audit.bulk_id is None:
        session.add_all(
            audit.row(action, message.id, state, after) for message, state in zip(messages, states, strict=True)
        )
        return
    step = audit.row(action, before={"filter": audit.filter, "messages": len(messages)}, after=after)
    step.message_ids, step.states = [message.id for message in messages], states
    session.add(step)


def _state(message: MessageRow) -> dict[str, Any]:
    return {
        "status": message.status,
        "dead_reason": message.dead_reason,
        "attempt": message.attempt,
        "lost_leases": message.lost_leases,
        "last_error_class": message.last_error_class,
        "recipient": masked(message.recipient),
        "locale": message.locale,
    }


def record_reveal(session: Session, audit: AuditContext, message_id: UUID | None = None, **query: Any) -> None:
    """Add the audit row for addresses of one message, or of a ``query``. Commit it before showing them."""
    session.add(audit.row(Action.REVEAL, message_id, before=query))


def is_showable(text: str) -> bool:
    """Return whether the text, apart from line breaks, has no characters that control a terminal or text direction."""
    return text.replace("\n", "").replace("\r", "").isprintable()
