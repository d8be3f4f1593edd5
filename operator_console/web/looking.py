"""Looking at one message: masked, or as it is once it is written down who asked and why."""

from uuid import UUID

from sqlalchemy.orm import Session

from operator_console.acting import UnknownMessageError, note_reveal
from operator_console.reading import show_message
from operator_console.views import Mask, MessageDetail, unmasked
from operator_console.web.access import asker
from operator_console.web.services import services
from shared.masks import masked


def shown(message_id: UUID) -> MessageDetail:
    """Return the message, masked. Raises UnknownMessageError."""
    with services().sessions.begin() as session:
        return _found(session, message_id, masked)


def reveal(message_id: UUID, reason: str) -> MessageDetail:
    """Return the message as it is, once it is committed who asked for it and why. Raises UnknownMessageError."""
    with services().sessions.begin() as session:
        note_reveal(session, asker().act(reason), message_id)
        return _found(session, message_id, unmasked)


def _found(session: Session, message_id: UUID, mask: Mask) -> MessageDetail:
    message = show_message(session, message_id, mask=mask)
    if message is None:
        raise UnknownMessageError
    return message
