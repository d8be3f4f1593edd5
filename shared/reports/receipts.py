"""Delivery receipts of mobile networks: the states of SMPP 3.4 (issue 1.2, §5.2.28 and Appendix B).

SMPP's receipts have them, and Kannel passes them on.
"""

import re
from dataclasses import dataclass

from shared.reports.report import BounceCause, ReportKind


@dataclass(frozen=True)
class Verdict:
    """The meaning of a state or code for the message."""

    kind: ReportKind
    cause: BounceCause | None = None
    is_permanent: bool = False


DELIVERED = Verdict(ReportKind.DELIVERED)
DELAYED = Verdict(ReportKind.DELAYED)
FAILED = Verdict(ReportKind.BOUNCED, BounceCause.OTHER, is_permanent=True)
FAILED_FOR_NOW = Verdict(ReportKind.BOUNCED, BounceCause.OTHER)
"""The message will not arrive, and a later one may: the phone was off until the message expired."""
REFUSED_NUMBER = Verdict(ReportKind.BOUNCED, BounceCause.RECIPIENT, is_permanent=True)
REFUSED_CONTENT = Verdict(ReportKind.BOUNCED, BounceCause.CONTENT, is_permanent=True)
REFUSED_BY_POLICY = Verdict(ReportKind.BOUNCED, BounceCause.POLICY, is_permanent=True)

STATES = {
    "ENROUTE": None,
    "DELIVRD": DELIVERED,
    "EXPIRED": FAILED_FOR_NOW,
    "DELETED": FAILED,
    "UNDELIV": REFUSED_NUMBER,
    "ACCEPTD": None,
    "UNKNOWN": None,
    "REJECTD": REFUSED_BY_POLICY,
}
"""By the abbreviation in a receipt's text. None is no news: the message is on its way, or the network does not know."""

STATES_BY_NUMBER = dict(enumerate(STATES, start=1))
"""The abbreviations by the value of ``message_state``."""

_FIELD = re.compile(r"\b(id|stat|err|submit date|done date):([!-9;-~]{1,65})(?=\s|$)", re.IGNORECASE | re.ASCII)


def fields_of(text: str) -> dict[str, str]:
    """Return ``id``, ``stat``, ``err``, ``submit date`` and ``done date`` of a receipt's text, if it has them.

    ``id:7 sub:001 dlvrd:001 submit date:2611250102 done date:2611250102 stat:DELIVRD err:000 text:…`` (Appendix B). The
    format is only a recommendation, so the order does not matter. The first ``id`` counts: the text may quote others.
    """
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(text):
        fields.setdefault(name.lower(), value)
    return fields


def verdict_of(state: str) -> Verdict | None:
    """Return the meaning of a state's abbreviation, or None if it is no news or not known."""
    return STATES.get(state.upper()[:7])
