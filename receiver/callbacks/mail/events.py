"""Events of mail providers, and the tables that assign a meaning to each kind.

Nothing here raises for a field that is missing or of another type: one strange event must not block a batch.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any
from uuid import UUID

from receiver.bounces.classification import classify
from shared.addresses import InvalidAddressError, canonical_email, deliverable_email
from shared.reports.receipts import (
    DELAYED,
    DELIVERED,
    FAILED,
    FAILED_FOR_NOW,
    REFUSED_BY_POLICY,
    REFUSED_CONTENT,
    Verdict,
)
from shared.reports.report import BounceCause, DeliveryReport, ReportKind, ReportSource
from shared.reports.return_paths import recipient_tag
from shared.texts import mail_diagnostic, printable
from shared.web.problems import MalformedJsonError

LONGEST_ID, LONGEST_CODE = 200, 40
_CLOCK = range(2000, 2100)
"""Years of believable times. PostgreSQL also accepts times that Python cannot read."""


@dataclass(frozen=True)
class Rule:
    """The meaning of a kind of event. With ``reads_reply``, the recipient's server makes it more precise."""

    verdict: Verdict
    reads_reply: bool = False


ARRIVED = Rule(DELIVERED)
WAITS = Rule(DELAYED)
COMPLAINED = Rule(Verdict(ReportKind.COMPLAINED))
BAD_ADDRESS = Rule(Verdict(ReportKind.BOUNCED, BounceCause.RECIPIENT, is_permanent=True), reads_reply=True)
"""The provider says that the address is wrong."""
SUPPRESSED = Rule(Verdict(ReportKind.BOUNCED, BounceCause.RECIPIENT, is_permanent=True))
"""The provider did not try, because mails to the address have bounced before."""
MAILBOX_FULL = Rule(Verdict(ReportKind.BOUNCED, BounceCause.MAILBOX_FULL), reads_reply=True)
GAVE_UP = Rule(FAILED_FOR_NOW, reads_reply=True)
BOUNCED = Rule(FAILED, reads_reply=True)
"""The provider does not say whose failure it is."""
NOT_SENT = Rule(FAILED)
"""The provider did not try. The address may be right, such as after a complaint."""
BAD_CONTENT = Rule(REFUSED_CONTENT)
BLOCKED = Rule(REFUSED_BY_POLICY)

Rules = Mapping[str, Rule]
"""By the kind's name. A kind that is missing is no news, such as that a mail was opened."""


@dataclass(frozen=True)
class MailEvent:
    """An event. ``names`` are those of its kind, the most precise first.

    ``message_id`` is None for a mail that another application has sent. ``status`` and ``reply`` are those of the
    recipient's server.
    """

    names: tuple[str, ...]
    message_id: UUID | None = None
    provider_message_id: str = ""
    recipient: str = ""
    status: str = ""
    reply: str = ""
    occurred_at: datetime | None = None

    def rule(self, rules: Rules) -> Rule | None:
        """Return the rule for the most precise name that has one."""
        return next((rules[name] for name in self.names if name in rules), None)

    def report(self, rule: Rule, source: ReportSource, key: bytes) -> DeliveryReport:
        """Return the report. ``key`` is the newest of FEEDBACK_KEYS, for the tag of the recipient."""
        replied, verdict = classify(self.status, self.reply), rule.verdict
        if rule.reads_reply:
            verdict = Verdict(
                verdict.kind,
                verdict.cause if replied.cause is BounceCause.OTHER else replied.cause,
                replied.is_permanent if replied.status_code else verdict.is_permanent,
            )
        is_failure = verdict.kind in (ReportKind.BOUNCED, ReportKind.DELAYED)
        local_part = self.recipient.partition("@")[0]
        return DeliveryReport(
            kind=verdict.kind,
            source=source,
            message_id=self.message_id,
            recipient_tag=_tag(self.recipient, key),
            provider_message_id=_storable(self.provider_message_id, LONGEST_ID),
            cause=verdict.cause,
            is_permanent=verdict.is_permanent,
            status_code=replied.status_code or _storable(self.names[0], LONGEST_CODE) if is_failure else None,
            diagnostic=mail_diagnostic(self.reply, [local_part] if local_part else []),
            occurred_at=self.occurred_at,
        )


def parse(body: bytes | str) -> Any:
    """Return the value of JSON. Raises MalformedJsonError.

    Unlike ``strict_json``, names may be repeated: other applications of the account choose some of them.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedJsonError from None


def parse_object(body: bytes | str) -> dict[str, Any]:
    """Return a JSON object. Raises MalformedJsonError."""
    value = parse(body)
    if not isinstance(value, dict):
        raise MalformedJsonError
    return value


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of an array, or the value itself if it is an object. Raises MalformedJsonError for others."""
    if not isinstance(value, list | dict):
        raise MalformedJsonError
    yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict))


def value_at(value: Any, *path: str | int) -> Any:
    """Return a value within JSON, or None if it is missing."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def text_at(value: Any, *path: str | int) -> str:
    """Return a text or number within JSON as text, or an empty one."""
    found = value_at(value, *path)
    if isinstance(found, str):
        return found
    return str(found) if isinstance(found, int | float) and not isinstance(found, bool) else ""


def kinds(*parts: str) -> tuple[str, ...]:
    """Return the names of a kind and its supersets: ``a/b`` and ``a``. Empty parts are left out."""
    named = [part for part in parts if part]
    return tuple("/".join(named[:count]) for count in range(len(named), 0, -1)) or ("",)


def message_id_of(text: str) -> UUID | None:
    """Return the id that the relay has sent with the mail."""
    try:
        return UUID(text)
    except ValueError:
        return None


def time_of(value: Any) -> datetime | None:
    """Return a time in seconds since 1970, or in ISO 8601 with its offset. Times that cannot be right are dropped."""
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            at = at.astimezone(UTC) if at.tzinfo else datetime.min.replace(tzinfo=UTC)
        else:
            at = datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return at if at.year in _CLOCK else None


def _tag(recipient: str, key: bytes) -> str | None:
    """Return the tag, so that an event about a former recipient does not count. Providers may lower-case addresses."""
    address = parseaddr(recipient)[1]
    if "@" not in address:
        return None
    try:
        return recipient_tag(canonical_email(deliverable_email(address)), key)
    except InvalidAddressError:
        return None


def _storable(text: str, longest: int) -> str | None:
    return printable(text)[:longest] or None
