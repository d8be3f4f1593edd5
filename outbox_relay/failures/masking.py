"""Mask what a provider's reply may quote of a message, so that logs and all operators may see the rest."""

import re

from outbox_relay.failures.network import printable

LONGEST_MASKED = 200

# The first group is kept: Twilio's code after the status, and a status of SMPP. Replies quote recipients as they were
# sent to the provider, so a name without an address stands in angle brackets or quotes, if at all.
_PERSONAL = re.compile(
    r"(^HTTP [0-9]{3} [0-9]{5}:|0x[0-9A-F]{8}\b)"
    r"|\S*(?:\"[^\"]*\"|<[^>]*>|@)\S*"
    r"|\+?[0-9](?:[ ()-]{0,2}[0-9]){6,}"
)


def masked_error(error: str) -> str:
    """Return the error without addresses, numbers, and quoted text, cut to LONGEST_MASKED."""
    return _PERSONAL.sub(lambda found: found[1] or "…", printable(error))[:LONGEST_MASKED]
