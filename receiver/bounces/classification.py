"""Whose failure is a bounce? A table of enhanced status codes, and one of texts for servers that send a general code.

The first matching row decides. Only a failure of the recipient counts against an address, so a row assigns one only
if its source says so, and rows about policies come before those about recipients.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from shared.reports.report import BounceCause

_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
_FAILURE = re.compile(_STATUS.pattern.replace("[245]", "[45]"))
_REPLY = re.compile(r"(?<![\d.-])(4[2-5]\d|5[0-7]\d)(?=[ -]|$)")
PERMANENT = "5"
LONGEST_DIAGNOSED = 20_000
"""Characters of a text that are searched for codes and known phrases."""


class Failed(NamedTuple):
    """The cause of a failure, whether it is final, and its code."""

    cause: BounceCause
    is_permanent: bool
    status_code: str | None


@dataclass(frozen=True)
class CodeRule:
    """A row of the table of codes: ``subject.detail`` of the enhanced status code; None as detail: any."""

    subject: int
    detail: int | None
    cause: BounceCause
    meaning: str
    source: str


@dataclass(frozen=True)
class TextRule:
    """A row of the table of texts, for codes that do not name the failed part."""

    pattern: re.Pattern[str]
    cause: BounceCause
    source: str


REGISTRY = "RFC 3463, IANA"
CODE_RULES = (
    CodeRule(1, 5, BounceCause.OTHER, "the address is valid", REGISTRY),
    CodeRule(1, 7, BounceCause.POLICY, "the sender's address is refused", REGISTRY),
    CodeRule(1, 8, BounceCause.POLICY, "the sender's domain is refused", REGISTRY),
    CodeRule(1, 9, BounceCause.OTHER, "relayed to a system of another kind", "RFC 5248"),
    CodeRule(1, None, BounceCause.RECIPIENT, "no such address or domain, or it has moved", f"{REGISTRY}, RFC 7505"),
    CodeRule(2, 1, BounceCause.RECIPIENT, "the mailbox is disabled", REGISTRY),
    CodeRule(2, 2, BounceCause.MAILBOX_FULL, "the mailbox is full", REGISTRY),
    CodeRule(2, 3, BounceCause.CONTENT, "the message is too large for the mailbox", REGISTRY),
    CodeRule(2, None, BounceCause.OTHER, "a problem of the mailbox", REGISTRY),
    CodeRule(3, 4, BounceCause.CONTENT, "the message is too large for the system", REGISTRY),
    CodeRule(3, None, BounceCause.OTHER, "a problem of the receiving system", REGISTRY),
    CodeRule(4, 4, BounceCause.RECIPIENT, "the domain has no mail server", f"{REGISTRY}; Postfix: no such domain"),
    CodeRule(4, None, BounceCause.OTHER, "a problem of the network, or too much time has passed", REGISTRY),
    CodeRule(5, None, BounceCause.OTHER, "a problem of the protocol", REGISTRY),
    CodeRule(6, None, BounceCause.CONTENT, "the content is not accepted", REGISTRY),
    CodeRule(7, 17, BounceCause.RECIPIENT, "the mailbox has another owner now", "RFC 7293"),
    CodeRule(7, 18, BounceCause.RECIPIENT, "the domain has another owner now", "RFC 7293"),
    CodeRule(
        7, None, BounceCause.POLICY, "a rule of the receiver, or the sender's reputation", f"{REGISTRY}, RFC 7372"
    ),
)

GENERAL = frozenset({(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (4, 1), (5, 1), (5, 2), (5, 4)})
"""``subject.detail`` of codes that say too little, or that large operators send with texts that say more. The text
decides first. Exchange Online sends 5.4.1 for unknown recipients, Outlook.com 5.5.0."""


def _text(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


TEXT_RULES = (
    TextRule(
        _text(
            r"\bspam\b|black ?list|block ?list|\bblocked\b|reputation|\bpolic(?:y|ies)\b|\bd?marc\b|\bspf\b|\bdkim\b"
            r"|dnsbl|\brbls?\b|spamhaus|rate limit|too many (?!hops)|unauthenticated|not authenticated|unsolicited"
            r"|relay(?:ing)? (?:access )?denied|not permitted to relay|\bbanned\b|greylist"
            r"|not accepting (?:e-?)?mails? from|sending (?:quota|limit)|daily .{0,20}quota"
        ),
        BounceCause.POLICY,
        "replies of Gmail, Outlook.com, Yahoo, Postfix",
    ),
    TextRule(
        _text(
            r"mail ?(?:box|folder) (?:\S+ )?(?:is )?full|\bfull mailbox|quota\b|exceed\w* .{0,20}storage"
            r"|(?:storage|mailbox size) (?:allocation|limit)|insufficient (?:disk|storage)|out of storage"
        ),
        BounceCause.MAILBOX_FULL,
        "replies of Gmail, Dovecot, Exchange; RFC 5321 §4.2.3, 552",
    ),
    TextRule(
        _text(
            r"(?:message|mail)(?: size)? (?:is )?(?:too (?:large|big)|exceeds)|\bvirus\b|malware"
            r"|attachments? (?:type )?(?:is |are |was )?(?:not allowed|blocked|rejected|forbidden)"
            r"|content (?:was )?reject"
        ),
        BounceCause.CONTENT,
        "replies of Postfix, Exchange, ClamAV",
    ),
    TextRule(
        _text(
            r"(?:unknown|invalid|no such|non-?existent|undeliverable|bad|inactive) (?:local )?(?:e-?mail )?"
            r"(?:user|recipient|mailbox|address|account|destination|domain|host|alias)\b"
            r"|(?:user|recipient|mailbox|address|account|addressee|domain|host)(?: name)?(?: \S+){0,2}? (?:is |was )?"
            r"(?:unknown|not (?:found|exist|known|listed|valid|recogni[sz]ed|a valid)|does(?: not|n't) exist"
            r"|unavailable|disabled|inactive|suspended|deactivated|invalid|rejected)"
            r"|(?:does(?: not|n't)|do(?: not|n't)) (?:exist|have an? \S*\s?(?:account|mailbox))|no mailbox"
            r"|not our customer|no longer (?:available|valid|active|in use|accepts|works)"
            r"|user (?:is )?not (?:found|known)|RecipNotFound|unrout(?:e)?able (?:address|mail domain)|not listed in"
        ),
        BounceCause.RECIPIENT,
        "replies of Postfix, Exim, Sendmail, qmail, Exchange, Gmail",
    ),
)

REPLY_RULES = {
    "551": BounceCause.RECIPIENT,
    "552": BounceCause.MAILBOX_FULL,
    "553": BounceCause.RECIPIENT,
    "556": BounceCause.RECIPIENT,
}
"""Without an enhanced code and a known text (RFC 5321 §4.2.3, RFC 7504). 550 has too many meanings."""


def classify(status: str, text: str) -> Failed:
    """Classify a failure by its enhanced status code and the server's text. Either may be empty.

    A more precise code in the text replaces a general one.
    """
    text = text[:LONGEST_DIAGNOSED]
    code = _more_precise(_STATUS.search(status), _FAILURE.search(text))
    reply = _REPLY.search(text)
    shown = code[0] if code else reply[1] if reply else None
    is_permanent, cause = shown is None or shown.startswith(PERMANENT), _cause_of(code, reply, text)
    # "Try again later" is no proof that the address is wrong, although the server has given up.
    is_unproven = cause is BounceCause.RECIPIENT and not is_permanent
    return Failed(BounceCause.OTHER if is_unproven else cause, is_permanent, shown)


def is_telling(line: str) -> bool:
    """Return whether a line has a code or a known phrase."""
    patterns = (_FAILURE, _REPLY, *(rule.pattern for rule in TEXT_RULES))
    return any(pattern.search(line) for pattern in patterns)


def _more_precise(reported: re.Match[str] | None, quoted: re.Match[str] | None) -> re.Match[str] | None:
    if reported is None:
        return quoted
    if quoted is None or quoted[1] != reported[1] or not _is_general(reported):
        return reported
    return quoted


def _cause_of(code: re.Match[str] | None, reply: re.Match[str] | None, text: str) -> BounceCause:
    if code and not _is_general(code):
        return _cause_of_code(code)
    for rule in TEXT_RULES:
        if rule.pattern.search(text):
            return rule.cause
    if reply and reply[1] in REPLY_RULES:
        return REPLY_RULES[reply[1]]
    # "Other address status" is still a failure of the address.
    return _cause_of_code(code) if code else BounceCause.OTHER


def _is_general(code: re.Match[str]) -> bool:
    return (int(code[2]), int(code[3])) in GENERAL


def _cause_of_code(code: re.Match[str]) -> BounceCause:
    subject, detail = int(code[2]), int(code[3])
    causes = (rule.cause for rule in CODE_RULES if rule.subject == subject and rule.detail in (None, detail))
    return next(causes, BounceCause.OTHER)
