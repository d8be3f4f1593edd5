"""Classify negative SMTP replies by command, reply code, enhanced code and text.

Sources: RFC 5321 §4.2 for reply codes; RFC 3463 and the IANA registry "SMTP Enhanced Status Codes".
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum

from outbox_relay.model import FailureClass

PROVIDER, RECIPIENT = FailureClass.PROVIDER, FailureClass.RECIPIENT
TRANSIENT, CONTENT = FailureClass.TRANSIENT, FailureClass.CONTENT


class SmtpCommand(StrEnum):
    """The command that a reply is for. ``CONTENT`` is the final dot."""

    CONNECT = "connect"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"


ALL_COMMANDS = frozenset(SmtpCommand)
AT_RCPT = frozenset({SmtpCommand.RCPT})
AT_DATA = frozenset({SmtpCommand.DATA, SmtpCommand.CONTENT})
PER_MESSAGE = AT_RCPT | AT_DATA
BEFORE_RCPT = ALL_COMMANDS - PER_MESSAGE

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")

# Many servers reject a client or a sender only in the reply to RCPT (Postfix: smtpd_delay_reject). These texts identify
# such replies. Each phrase contains a space, so a recipient address that the reply quotes cannot match.
_CLIENT_REJECTED = (
    r"relay access denied|relaying (?:is )?(?:denied|not)|(?:unable|not permitted|not allowed) to relay"
    r"|sender address rejected|sender verify failed|client host (?:rejected|\[)|helo command rejected"
    r"|authentication (?:is )?required|(?:address|domain|identity) (?:is )?not verified|verified sender identity"
    r"|relay not permitted|(?:send as this sender|not allowed to send as|exception:sendasdenied)"
    r"|sending (?:paused|suspended) for"
)
_IP_LISTED = (
    r"banned sending ip|unusual rate of unsolicited mail originating from your|on our block ?list|blocked using \S+"
    r"|\bip (?:address )?(?:\S+ )?(?:is |has been )?"
    r"(?:blocked|listed|blacklisted|blocklisted)\b"
)
_RATE_EXCEEDED = (
    r"(?:sending|daily|hourly) (?:rate|limit|quota)\b|rate limit|too many (?:connections|messages (?:from|per|sent))\b"
)


@dataclass(frozen=True)
class SmtpRule:
    """One row of the table: which replies have which class. ``enhanced`` and ``text`` are regular expressions."""

    kind: FailureClass
    meaning: str
    source: str
    codes: Container[int] = range(1000)
    commands: frozenset[SmtpCommand] = PER_MESSAGE
    enhanced: str = r".*"
    text: str = r""

    def matches(self, command: SmtpCommand, code: int, text: str) -> bool:
        """Return whether the rule applies to a reply."""
        found = _ENHANCED.match(text)
        return (
            command in self.commands
            and code in self.codes
            and re.fullmatch(self.enhanced, found[0] if found else "") is not None
            and re.search(self.text, text, re.IGNORECASE) is not None
        )


_PERMANENT = range(500, 600)
_TEMPORARY = range(400, 500)

SMTP_RULES = (
    SmtpRule(PROVIDER, "a reply before the server hangs up", "RFC 5321 §3.8", codes={421}, commands=ALL_COMMANDS),
    SmtpRule(
        RECIPIENT,
        "a non-ASCII address, although the server offered SMTPUTF8",
        "RFC 6531 §3.5, RFC 5248",
        codes=_PERMANENT,
        commands=PER_MESSAGE | {SmtpCommand.MAIL},
        enhanced=r"5\.6\.(?:7|9|10)",
    ),
    SmtpRule(PROVIDER, "refused before a recipient was named", "RFC 5321 §4.3.2", commands=BEFORE_RCPT),
    SmtpRule(PROVIDER, "the server accepts no mail", "RFC 7504 §3", codes={521}),
    SmtpRule(PROVIDER, "our login", "RFC 4954 §6; 454: RFC 3207 §4, too", codes={432, 454, 530, 534, 535, 538}),
    SmtpRule(PROVIDER, "our commands", "RFC 5321 §4.2.4, §4.3.2", codes={455, 500, 502, 503, 504, 555}),
    SmtpRule(PROVIDER, "our sender: its syntax, its system", "RFC 3463 §3.2", enhanced=r"[45]\.1\.[78]"),
    SmtpRule(
        PROVIDER,
        "our login: credentials, mechanism, encryption, trust",
        "RFC 4954 §6, RFC 5248; 30: RFC 8689",
        enhanced=r"[45]\.7\.(?:[89]|1[0-4]|30)",
    ),
    SmtpRule(
        PROVIDER,
        "our reputation: DKIM, SPF, reverse DNS, null MX, too much mail, ARC",
        "RFC 7372, RFC 7505, RFC 8617, IANA registry",
        enhanced=r"[45]\.7\.2\d",
    ),
    SmtpRule(
        PROVIDER,
        "our reputation with Exchange Online",
        "Microsoft, NDR codes 5.7.5xx to 5.7.7xx: banned senders and addresses, tenants over their limit",
        enhanced=r"[45]\.7\.[567]\d\d|5\.2\.252",
    ),
    # Before the rules for 5.1.x, since Postfix also uses 5.1.0 and 5.1.1 for senders.
    SmtpRule(
        PROVIDER,
        "we may not relay, send, or connect",
        "Postfix, Exim, Sendmail, SES, SendGrid, Exchange",
        text=_CLIENT_REJECTED,
    ),
    SmtpRule(
        RECIPIENT,
        "the address is wrong, has moved, or its domain takes no mail",
        "RFC 3463 §3.2; 5.1.10: RFC 7505",
        codes=_PERMANENT,
        enhanced=r"5\.1\.\d+",
    ),
    SmtpRule(RECIPIENT, "the mailbox is disabled", "RFC 3463 §3.3", codes=_PERMANENT, enhanced=r"5\.2\.1"),
    SmtpRule(RECIPIENT, "the mailbox has a new owner", "RFC 7293", codes=_PERMANENT, enhanced=r"5\.7\.1[78]"),
    SmtpRule(PROVIDER, "our IP address is on a block list", "RFC 6471; Postfix, Outlook", text=_IP_LISTED),
    SmtpRule(PROVIDER, "we send too much", "Gmail, Exchange, cPanel", text=_RATE_EXCEEDED),
    SmtpRule(PROVIDER, "the mail system, not the message", "RFC 3463 §3.4", enhanced=r"4\.3\.[01235]|5\.3\.[125]"),
    SmtpRule(TRANSIENT, "not now: greylisting, a full or busy mailbox", "RFC 5321 §4.2.1", codes=_TEMPORARY),
    SmtpRule(TRANSIENT, "a full mailbox, which can be emptied", "RFC 3463 §3.3", codes=_PERMANENT, enhanced=r"5\.2\.2"),
    SmtpRule(
        CONTENT,
        "the message is too big, or its format is not supported",
        "RFC 3463 §3.3, §3.4, §3.7",
        codes=_PERMANENT,
        enhanced=r"5\.2\.3|5\.3\.[34]|5\.6\.\d+",
    ),
    SmtpRule(TRANSIENT, "552 at RCPT is read as 452", "RFC 5321 §4.5.3.1.10", codes={552}, commands=AT_RCPT),
    # Deliberately, no rule matches 5.7.1 alone: servers send it because of relaying, reputation, content or the
    # recipient. The text patterns above recognise the first two. For the other two, the rules below use the command: a
    # reply to RCPT is about the recipient, a reply to DATA or the content is about the content. In a reply to RCPT, 501
    # means that the address is malformed, because the rest of the command never changes.
    SmtpRule(
        RECIPIENT,
        "no such mailbox, not here, not allowed; 556: the domain takes no mail",
        "RFC 5321 §4.2.3, §4.3.2; RFC 7504 §4",
        codes={501, 550, 551, 553, 554, 556},
        commands=AT_RCPT,
    ),
    SmtpRule(
        CONTENT,
        "the message is refused",
        "RFC 5321 §4.2.3, §4.3.2",
        codes={550, 551, 552, 553, 554},
        commands=AT_DATA,
    ),
    SmtpRule(PROVIDER, "anything else", "no RFC: an undefined reply must not kill a message", commands=ALL_COMMANDS),
)


def smtp_rule_for(command: SmtpCommand, code: int, text: str) -> SmtpRule:
    """Return the first rule that matches. The last one always does."""
    return next(rule for rule in SMTP_RULES if rule.matches(command, code, text))


def from_smtp_reply(command: SmtpCommand, code: int, text: str) -> FailureClass:
    """Classify a negative reply."""
    return smtp_rule_for(command, code, text).kind
