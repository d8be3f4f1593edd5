"""Kannel's delivery reports: a GET of the ``dlr-url`` that the message's request had.

Source: the Kannel user's guide, "Delivery reports", and gw/dlr.c and gw/smsc/smsc_smpp.c of Kannel 1.4.
"""

import re
from enum import IntFlag

from shared.reports.receipts import (
    DELAYED,
    DELIVERED,
    FAILED,
    REFUSED_NUMBER,
    Verdict,
    fields_of,
)
from shared.reports.receipts import verdict_of as verdict_of_state


class Kind(IntFlag):
    """The kind of report."""

    DELIVERED = 1
    UNDELIVERABLE = 2
    QUEUED = 4
    SUBMITTED = 8
    REJECTED = 16


_INVALID_NUMBER = re.compile(r"NACK/(?:11|0x0*b)\b", re.IGNORECASE)
"""ESME_RINVDSTADR (SMPP 3.4 §5.1.3)."""


def verdict_of(kind: int, answer: str) -> Verdict | None:
    """Return the meaning of a report, or None if it has no news. ``answer`` is the SMSC's text, or empty."""
    match kind:
        case Kind.DELIVERED:
            return DELIVERED
        case Kind.QUEUED:
            return DELAYED
        case Kind.UNDELIVERABLE:
            return verdict_of_state(fields_of(answer).get("stat", "")) or FAILED
        case Kind.REJECTED:
            return REFUSED_NUMBER if _INVALID_NUMBER.match(answer) else FAILED
        case _:
            return None


def diagnostic_of(answer: str) -> str | None:
    """Return a refusal's text. A receipt's text quotes the start of the message, which may contain the code."""
    return answer if answer.startswith("NACK/") else None


def code_of(answer: str) -> str | None:
    """Return the SMSC's code: state and error of a receipt, or the start of a refusal."""
    fields = fields_of(answer)
    if "stat" in fields:
        return f"{fields['stat']} {fields.get('err', '')}".strip()[:40]
    refusal = re.match(r"NACK/\w{1,20}", answer)
    return refusal[0] if refusal else None
