"""Read what a mail reports: a delivery status, a complaint or an automatic reply. No IO, and no input raises.

Final-Recipient is not used to find the message: the bounced address may be another one, behind a forwarding.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.parser import HeaderParser
from email.utils import parsedate_to_datetime
from html import unescape

from flufl.bounce import all_failures

from receiver.bounces.classification import LONGEST_DIAGNOSED, classify, is_telling
from shared.reports.report import BounceCause, ReportKind
from shared.texts import mail_diagnostic, printable

LONGEST_READ_BYTES = 256 * 1024
"""The rest of a mail is not read. A report comes before the returned message."""
MOST_CONTAINERS = 20
"""Parts that contain others. Python's parser recurses into each."""
MOST_DELIMITERS = 200
"""Lines that may separate parts."""
MOST_LINES = 10_000
MOST_BLOCKS = 100
"""Recipients in one delivery status."""
LONGEST_NAME = 64
"""Octets of a local part (RFC 5321 §4.5.3.1.1). Longer ones make large patterns, which Python caches."""

_LINE_END = re.compile(rb"\n")
_CONTAINER = re.compile(rb"^content-type:\s*(?:multipart|message)/", re.IGNORECASE | re.MULTILINE)
_DELIMITER = re.compile(rb"^--", re.MULTILINE)
_RETURNED = re.compile(
    r"^(?:(?:Return-Path|Received): "
    r"|[- |]*(?:Below this line|This is a copy|Original message|Forwarded|Returned m|The header"
    r"|Unsent message|Old message|(?:Start of )?Returned m|Message header))",
    re.MULTILINE | re.IGNORECASE,
)
_TAG = re.compile(r"<[^<>]{0,500}>")
_FAILURE_LINE = re.compile(r"error|fail|reject|not |unable|undeliver", re.IGNORECASE)
_CLOCK = range(2000, 2100)
"""Years of believable times."""

_COMPLAINTS = frozenset({"abuse", "fraud", "opt-out"})
"""RFC 5965 §7.3 and RFC 6449. ``not-spam`` and ``auth-failure`` are not complaints."""
_ACTIONS = {"fail": ReportKind.BOUNCED, "delayed": ReportKind.DELAYED, "delivered": ReportKind.DELIVERED}
"""How the actions begin (RFC 3464 §2.3.3), the worst first. ``relayed`` and ``expanded`` are not final."""
_DISCARDED = re.compile(r"^automatic-action/.*;\s*deleted", re.IGNORECASE)
_AUTOMATIC = ("x-autoreply", "x-autorespond", "x-autoresponse")
_BOUNCING_SENDERS = ("mailer-daemon", "postmaster", "mail delivery")
_RECIPIENTS = ("Final-Recipient", "Original-Recipient", "X-Failed-Recipients", "Original-Rcpt-To")


@dataclass(frozen=True)
class Observation:
    """What a mail reports. ``diagnostic`` is masked."""

    kind: ReportKind
    cause: BounceCause | None = None
    is_permanent: bool = False
    status_code: str | None = None
    diagnostic: str | None = None
    occurred_at: datetime | None = None


class AutoReply:
    """A mail that an absent recipient, or a reader's program, has sent (RFC 3834, RFC 8098)."""


def bounded(raw: bytes) -> bytes:
    """Return the beginning of a mail that can be parsed with little memory and without deep recursion."""
    # A lone CR ends a line for Python's parser, too.
    raw = raw[:LONGEST_READ_BYTES].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for pattern, most in ((_LINE_END, MOST_LINES), (_CONTAINER, MOST_CONTAINERS), (_DELIMITER, MOST_DELIMITERS)):
        for count, found in enumerate(pattern.finditer(raw)):
            if count == most:
                raw = raw[: found.start()]
                break
    return raw


def parse(raw: bytes) -> Message:
    """Parse a mail within the bounds."""
    return message_from_bytes(bounded(raw))


def observe(mail: Message) -> Observation | AutoReply | None:
    """Return the mail's report, or None if it is neither a report nor an automatic reply."""
    if mail.get_content_type() == "multipart/report":
        return _read_report(mail)
    if _is_auto_reply(mail):
        return AutoReply()
    return _guess(mail)


def quoted_envelope_senders(mail: Message) -> Iterator[str]:
    """Yield the envelope senders that a feedback report quotes: it goes to the address that the operator registered."""
    parts = list(_parts(mail))
    if not any(part.get_content_type() == "message/feedback-report" for part in parts):
        return
    for part in parts:
        match part.get_content_type():
            case "message/feedback-report":
                yield from headers(_feedback_fields(part), "Original-Mail-From")
            case "message/rfc822" | "message/global":
                for returned in _children(part):
                    yield from headers(returned, "Return-Path")
            case "text/rfc822-headers" | "message/global-headers":
                yield from headers(HeaderParser().parsestr(_decoded(part)), "Return-Path")
            case _:
                pass


def header(mail: Message, name: str) -> str:
    """Return a header as printable text, or an empty one."""
    return printable(str(mail.get(name, "")))


def headers(mail: Message, *names: str) -> list[str]:
    """Return all values of these headers."""
    return [printable(str(value)) for name in names for value in mail.get_all(name, ())]


def _read_report(mail: Message) -> Observation | AutoReply | None:
    for part in _parts(mail):
        match part.get_content_type():
            case "message/delivery-status" | "message/global-delivery-status":
                blocks = list(_blocks(part))[:MOST_BLOCKS]
                has_action = any("Action" in block for block in blocks)
                return _read_delivery_status(mail, blocks) if has_action else _guess(mail)
            case "message/feedback-report":
                return _read_feedback(mail, part)
            case "message/disposition-notification" | "message/global-disposition-notification":
                # A mailbox that refuses a mail may send one of these instead of a bounce (RFC 5429).
                return _guess(mail) if _DISCARDED.search(_disposition(part)) else AutoReply()
            case _:
                pass
    return _guess(mail)


def _disposition(part: Message) -> str:
    fields = next(iter(_children(part)), part)
    return header(fields, "Disposition")


def _parts(mail: Message) -> Iterator[Message]:
    """Yield the parts of a report, and not those of the returned message."""
    yield from (part for part in _children(mail) if isinstance(part, Message))


def _children(mail: Message) -> list[Message]:
    payload = mail.get_payload()
    return [each for each in payload if isinstance(each, Message)] if isinstance(payload, list) else []


def _blocks(part: Message) -> Iterator[Message]:
    """Yield the groups of fields in a delivery status."""
    parsed = _children(part)
    if part.get_content_type() == "message/delivery-status" and parsed:
        yield from parsed
        return
    # Python parses the first group only, as the header of a message (RFC 6533).
    yield from parsed
    rest = "".join(text for each in parsed if isinstance(text := each.get_payload(), str))
    for group in re.split(r"\r?\n\r?\n", rest, maxsplit=MOST_BLOCKS):
        yield HeaderParser().parsestr(group.strip())


def _read_delivery_status(mail: Message, blocks: list[Message]) -> Observation | None:
    for action, kind in _ACTIONS.items():
        for block in blocks:
            if header(block, "Action").lower().startswith(action):
                names, at = _personal_names([mail, *blocks]), _time_of(block, mail)
                return _about_recipient(kind, block, _text_of(mail), names, at)
    return None


def _about_recipient(
    kind: ReportKind, block: Message, explanation: str, names: list[str], at: datetime | None
) -> Observation:
    diagnostic = header(block, "Diagnostic-Code")
    text = diagnostic.partition(";")[2].strip() or diagnostic
    # Without a diagnostic code, the text for people may name the reason.
    found = classify(header(block, "Status"), text or explanation)
    is_failure = kind is ReportKind.BOUNCED
    return Observation(
        kind,
        cause=found.cause if is_failure else None,
        is_permanent=is_failure and found.is_permanent,
        status_code=found.status_code,
        diagnostic=mail_diagnostic(text or _telling_line(explanation), names),
        occurred_at=at,
    )


def _feedback_fields(part: Message) -> Message:
    parsed = next(iter(_children(part)), None)
    return HeaderParser().parsestr(_decoded(part).strip()) if parsed is None else parsed


def _read_feedback(mail: Message, part: Message) -> Observation | None:
    fields = _feedback_fields(part)
    if header(fields, "Feedback-Type").strip().lower() not in _COMPLAINTS:
        return None
    at = _time(header(fields, "Arrival-Date") or header(fields, "Received-Date")) or _time(header(mail, "Date"))
    return Observation(ReportKind.COMPLAINED, occurred_at=at)


def _is_auto_reply(mail: Message) -> bool:
    """Return whether a recipient's program has replied (RFC 3834 §5). Some servers mark their bounces likewise."""
    sender = header(mail, "From").lower()
    if "X-Failed-Recipients" in mail or any(name in sender for name in _BOUNCING_SENDERS):
        return False
    is_marked = header(mail, "Auto-Submitted").strip().lower().startswith("auto-replied")
    precedence = header(mail, "Precedence").strip().lower()
    return is_marked or precedence == "auto_reply" or any(name in mail for name in _AUTOMATIC)


def _guess(mail: Message) -> Observation | None:
    """Recognize a bounce in no standard form."""
    try:
        temporary, permanent = all_failures(mail)
    except Exception:  # noqa: BLE001 - its detectors expect the forms of the servers that they know
        return None
    if not temporary and not permanent:
        return None
    text = _text_of(mail)
    found = classify("", text)
    names = _personal_names([mail], (each.decode("utf-8", "replace") for each in (*temporary, *permanent)))
    observation = Observation(
        ReportKind.BOUNCED,
        found.cause,
        found.is_permanent,
        found.status_code,
        mail_diagnostic(_telling_line(text), names),
        _time(header(mail, "Date")),
    )
    if permanent:
        return observation
    return replace(observation, kind=ReportKind.DELAYED, cause=None, is_permanent=False)


def _text_of(mail: Message) -> str:
    """Return the text before the returned message."""
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            text = _decoded(part)
            if part.get_content_subtype() == "html":
                text = unescape(_TAG.sub(" ", text))
            return _RETURNED.split(text, maxsplit=1)[0][:LONGEST_DIAGNOSED]
    return ""


def _telling_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    telling = (line for line in lines if is_telling(line))
    return next(telling, None) or next((line for line in lines if _FAILURE_LINE.search(line)), "")


def _decoded(part: Message) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    try:
        return content.decode(part.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):  # no such charset
        return content.decode("utf-8", "replace")


def _personal_names(groups: list[Message], addresses: Iterable[str] = ()) -> list[str]:
    """Return the local parts of recipients: servers quote them without the domain."""
    fields = [value.rpartition(";")[2] for group in groups for value in headers(group, *_RECIPIENTS)]
    locals_ = {
        each.strip(" <>").partition("@")[0].strip() for field in [*fields, *addresses] for each in field.split(",")
    }
    return sorted((each for each in locals_ if 0 < len(each) <= LONGEST_NAME), key=len, reverse=True)[:MOST_BLOCKS]


def _time_of(block: Message, mail: Message) -> datetime | None:
    return _time(header(block, "Last-Attempt-Date")) or _time(header(mail, "Date"))


def _time(text: str) -> datetime | None:
    """Parse a date of a header. Times that cannot be right are dropped."""
    try:
        at = parsedate_to_datetime(text)
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return at if at.year in _CLOCK else None
