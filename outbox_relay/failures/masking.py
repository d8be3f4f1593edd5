"""Mask what a provider's reply may quote of a message, so that logs and all operators may see the rest."""

from shared.texts import without_personal

LONGEST_MASKED = 200


def masked_error(error: str) -> str:
    """Return the error without addresses, numbers, and quoted text, cut to LONGEST_MASKED."""
    return without_personal(error)[:LONGEST_MASKED]
