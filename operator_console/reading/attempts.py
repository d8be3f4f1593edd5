"""The tries of a message that failed, in the words of the providers, less the address."""

import re
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from operator_console.views import AttemptView, Mask
from shared.models import DeliveryAttempt


def attempts_of(session: Session, message: Row[Any], mask: Mask) -> tuple[AttemptView, ...]:
    """Return a message's failed attempts, the first first."""
    query = select(DeliveryAttempt).where(DeliveryAttempt.message_id == message.id).order_by(DeliveryAttempt.id)
    return tuple(
        AttemptView(
            attempt=one.attempt,
            outcome=one.outcome,
            provider=one.provider,
            error_class=one.error_class,
            error=without_addresses(one.error, message.recipient, mask),
            ended_at=one.ended_at,
        )
        for one in session.scalars(query)
    )


# An address, also where its @ is written as in a URL; a number, however it is spaced.
_MAIL_ADDRESS = re.compile(r"""[^\s<>"'();,:=]+(?:@|%40)[^\s<>"'();,]+""", re.IGNORECASE)
_NUMBER = re.compile(r"\+?\(?\d(?:[\s()./-]{0,2}\d){6,}")


def without_addresses(told: str | None, recipient: str, mask: Mask) -> str | None:
    """Mask all that looks like an address in a server's words: it may be one that was corrected since."""
    if not told:
        return told
    alike = _MAIL_ADDRESS if "@" in recipient else _NUMBER
    return alike.sub(lambda found: mask(found[0]), without_recipient(told, recipient, mask) or "")


def without_recipient(told: str | None, recipient: str, mask: Mask) -> str | None:
    """Mask the address where a server's words repeat it: in capitals or not, a number also without its plus."""
    if not told or not recipient:
        return told
    number = recipient.removeprefix("+")
    plus = r"\+?" if number != recipient else ""
    return re.sub(plus + re.escape(number), lambda _: mask(recipient), told, flags=re.IGNORECASE)
