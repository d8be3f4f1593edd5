"""Looking at who waits for a message to settle."""

from uuid import UUID

from api_service.outbox_signals.wait_for_settled import Bells


def ring_for(bells: Bells, message_id: UUID) -> bool:
    """Tell whether somebody has hung a bell up for that message."""
    hanging = list(bells._bells)  # noqa: SLF001 - said nowhere else
    return any(bell.message_id == message_id for bell in hanging)
