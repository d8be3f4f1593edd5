"""Correcting what a message is sent to, or in which language, before it is requeued.

Who receives a code proves an address by it. So a message that tells of a user goes to an address of that user; and
where the user has proven none yet, the registration is given the corrected one, its codes so far end, and whether the
new one may activate is decided as at a registration. A notice that an address was changed goes to the one before. The
database holds all this (migrations 0016 and 0032), whatever is asked here.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from operator_console.acting.audit import MessageRow
from operator_console.acting.errors import AddressNotTheirsError, WrongAddressError
from shared.addresses import InvalidAddressError, canonical_address, canonical_phone, deliverable_email
from shared.database import INSUFFICIENT_PRIVILEGE, describe
from shared.masks import masked
from shared.models import OutboxMessage
from shared.vocabulary import Channel, Locale


@dataclass(frozen=True)
class Correction:
    """What to change of a message; None stays."""

    recipient: str | None = field(default=None, repr=False)
    locale: Locale | None = None

    def masked(self) -> dict[str, str] | None:
        """Return it as an audit row may have it; None if nothing is corrected."""
        changed = {"recipient": self.recipient and masked(self.recipient), "locale": self.locale and self.locale.value}
        return {name: value for name, value in changed.items() if value} or None


NOTHING = Correction()


def correct(session: Session, message: MessageRow, correction: Correction) -> None:
    """Change the locked message. Raises WrongAddressError and AddressNotTheirsError."""
    if correction.recipient is not None:
        _correct_recipient(session, message, _deliverable(message.channel, correction.recipient))
    if correction.locale is not None:
        _change(session, message, locale=correction.locale)


def _deliverable(channel: str, text: str) -> str:
    """Return the address in the form that messages of the channel carry."""
    try:
        match channel:
            case Channel.EMAIL:
                return deliverable_email(text)
            case Channel.SMS:
                return canonical_phone(text)
            case _:
                raise WrongAddressError(channel)
    except InvalidAddressError as error:
        raise WrongAddressError(channel) from error


def _correct_recipient(session: Session, message: MessageRow, address: str) -> None:
    if address == message.recipient or _is_theirs(session, message, address):
        return
    moved = func.signpost_correct_address(message.id, address, canonical_address(address))
    if not session.scalar(select(moved)):
        raise AddressNotTheirsError


def _is_theirs(session: Session, message: MessageRow, address: str) -> bool:
    """Send the message there, unless the database refuses: it knows the user's addresses, and we do not."""
    try:
        with session.begin_nested():
            _change(session, message, recipient=address)
    except ProgrammingError as error:
        if describe(error)["sqlstate"] == INSUFFICIENT_PRIVILEGE:
            return False
        raise
    return True


def _change(session: Session, message: MessageRow, **values: Any) -> None:
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.id == message.id)
        .values(values)
        .execution_options(synchronize_session=False)
    )
