"""Looking at one message: masked, or as it is once it is written down who asked and why."""

from uuid import UUID

from operator_console.acting import UnknownMessageError, note_reveal
from operator_console.reading import show_message
from operator_console.views import MessageDetail, mask_for
from operator_console.web.access import asker
from operator_console.web.services import services


def shown(message_id: UUID) -> MessageDetail:
    """Return the message, masked. Raises UnknownMessageError."""
    with services().sessions.begin() as session:
        message = show_message(session, message_id)
    if message is None:
        raise UnknownMessageError
    return message


def revealed(message_id: UUID, reason: str) -> MessageDetail:
    """Return the message as it is, once it is committed who asked for it. Raises UnknownMessageError."""
    shown(message_id)
    with services().sessions.begin() as session:
        note_reveal(session, asker().act(reason), message_id=message_id)
    with services().sessions.begin() as session:
        message = show_message(session, message_id, mask=mask_for(is_revealed=True))
    if message is None:
        raise UnknownMessageError
    return message
