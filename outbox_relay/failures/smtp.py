"""SMTP replies that do not say yes, by code, enhanced code, command and words.

RFC 5321 §4.2 for the codes and RFC 3463 for the enhanced ones, with those that the IANA registry
"SMTP Enhanced Status Codes" has gained since.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum

from outbox_relay.model import FailureClass

PROVIDER, RECIPIENT = FailureClass.PROVIDER, FailureClass.RECIPIENT
TRANSIENT, CONTENT = FailureClass.TRANSIENT, FailureClass.CONTENT


class SmtpCommand(StrEnum):
    """What a reply was the answer to. ``CONTENT`` is the final dot."""

    CONNECT = "connect"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"


ALWAYS = frozenset(SmtpCommand)
AT_RCPT = frozenset({SmtpCommand.RCPT})
AT_DATA = frozenset({SmtpCommand.DATA, SmtpCommand.CONTENT})
ABOUT_ONE_LETTER = AT_RCPT | AT_DATA
ABOUT_NO_LETTER = ALWAYS - ABOUT_ONE_LETTER

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")

# Servers put off what they hold against a client or a sender until RCPT (Postfix: smtpd_delay_reject).
# Each phrase has a space inside, so that no recipient's address quoted in the reply can imitate it.
_ABOUT_US = (
    r"relay access denied|relaying (?:is )?(?:denied|not)|(?:unable|not permitted|not allowed) to relay"
    r"|sender address rejected|sender verify failed|client host (?:rejected|\[)|helo command rejected"
    r"|authentication (?:is )?required|(?:address|domain|identity) (?:is )?not verified|verified sender identity"
    r"|relay not permitted|(?:send as this sender|not allowed to send as|exception:sendasdenied)"
    r"|sending (?:paused|suspended) for"
)
_ABOUT_OUR_IP = (
    r"banned sending ip|unusual rate of unsolicited mail originating from your|on our block ?list|blocked using \S+"
    r"|\bip (?:address )?(?:\S+ )?(?:is |has been )?"
    r"(?:blocked|listed|blacklisted|blocklisted)\b"
)
_ABOUT_OUR_PACE = (
    r"(?:sending|daily|hourly) (?:rate|limit|quota)\b|rate limit|too many (?:connections|messages (?:from|per|sent))\b"
)


@dataclass(frozen=True)
class SmtpRule:
    """One row: which replies are whose fault. ``enhanced`` and ``words`` are regular expressions."""

    kind: FailureClass
    meaning: str
    source: str
    codes: Container[int] = range(1000)
    commands: frozenset[SmtpCommand] = ABOUT_ONE_LETTER
    enhanced: str = r".*"
    words: str = r""

    def fits(self, command: SmtpCommand, code: int, text: str) -> bool:
        """Tell whether this rule is about such a reply."""
        found = _ENHANCED.match(text)
        return (
            command in self.commands
            and code in self.codes
            and re.fullmatch(self.enhanced, found[0] if found else "") is not None
            and re.search(self.words, text, re.IGNORECASE) is not None
        )


_REFUSED = range(500, 600)
_NOT_NOW = range(400, 500)

SMTP_RULES = (
    SmtpRule(PROVIDER, "it is closing, whatever was asked", "RFC 5321 §3.8", codes={421}, commands=ALWAYS),
    SmtpRule(
        RECIPIENT,
        "an address that is not ASCII, on a server that has offered to take it",
        "RFC 6531 §3.5, RFC 5248",
        codes=_REFUSED,
        commands=ABOUT_ONE_LETTER | {SmtpCommand.MAIL},
        enhanced=r"5\.6\.(?:7|9|10)",
    ),
    SmtpRule(PROVIDER, "refused before a recipient is named", "RFC 5321 §4.3.2", commands=ABOUT_NO_LETTER),
    SmtpRule(PROVIDER, "it takes no mail at all", "RFC 7504 §3", codes={521}),
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
        "our standing: DKIM, SPF, reverse DNS, null MX, too much mail, ARC",
        "RFC 7372, RFC 7505, RFC 8617, IANA registry",
        enhanced=r"[45]\.7\.2\d",
    ),
    SmtpRule(
        PROVIDER,
        "our standing with Exchange Online",
        "Microsoft, NDR codes 5.7.5xx to 5.7.7xx: banned senders and addresses, tenants over their limit",
        enhanced=r"[45]\.7\.[567]\d\d|5\.2\.252",
    ),
    # Above what the enhanced codes say of the address: Postfix has 5.1.0 and 5.1.1 for senders, too.
    SmtpRule(
        PROVIDER,
        "we may not relay, send, or connect",
        "Postfix, Exim, Sendmail, SES, SendGrid, Exchange",
        words=_ABOUT_US,
    ),
    SmtpRule(
        RECIPIENT,
        "the address is wrong, has moved, or its domain takes no mail",
        "RFC 3463 §3.2; 5.1.10: RFC 7505",
        codes=_REFUSED,
        enhanced=r"5\.1\.\d+",
    ),
    SmtpRule(RECIPIENT, "the mailbox is disabled", "RFC 3463 §3.3", codes=_REFUSED, enhanced=r"5\.2\.1"),
    SmtpRule(RECIPIENT, "the mailbox has a new owner", "RFC 7293", codes=_REFUSED, enhanced=r"5\.7\.1[78]"),
    SmtpRule(PROVIDER, "our address is on a list", "RFC 6471; Postfix, Outlook", words=_ABOUT_OUR_IP),
    SmtpRule(PROVIDER, "we send too much", "Gmail, Exchange, cPanel", words=_ABOUT_OUR_PACE),
    SmtpRule(PROVIDER, "the system, not the letter", "RFC 3463 §3.4", enhanced=r"4\.3\.[01235]|5\.3\.[125]"),
    SmtpRule(TRANSIENT, "not now: greylisting, a full or busy mailbox", "RFC 5321 §4.2.1", codes=_NOT_NOW),
    SmtpRule(TRANSIENT, "a full mailbox empties", "RFC 3463 §3.3", codes=_REFUSED, enhanced=r"5\.2\.2"),
    SmtpRule(
        CONTENT,
        "too big, or of a kind that it cannot take",
        "RFC 3463 §3.3, §3.4, §3.7",
        codes=_REFUSED,
        enhanced=r"5\.2\.3|5\.3\.[34]|5\.6\.\d+",
    ),
    SmtpRule(TRANSIENT, "552 is to be read as 452 here", "RFC 5321 §4.5.3.1.10", codes={552}, commands=AT_RCPT),
    # 501 is a broken address here: the command around it is ours, and fixed.
    SmtpRule(
        RECIPIENT,
        "no such mailbox, not here, not allowed; 556: the domain takes no mail",
        "RFC 5321 §4.2.3, §4.3.2; RFC 7504 §4",
        codes={501, 550, 551, 553, 554, 556},
        commands=AT_RCPT,
    ),
    SmtpRule(
        CONTENT,
        "the letter is refused",
        "RFC 5321 §4.2.3, §4.3.2",
        codes={550, 551, 552, 553, 554},
        commands=AT_DATA,
    ),
    SmtpRule(PROVIDER, "anything else", "no RFC: a message must not die of what nobody defined", commands=ALWAYS),
)


def smtp_rule_for(command: SmtpCommand, code: int, text: str) -> SmtpRule:
    """Return the first rule that fits; the last one always does."""
    return next(rule for rule in SMTP_RULES if rule.fits(command, code, text))


def from_smtp_reply(command: SmtpCommand, code: int, text: str) -> FailureClass:
    """Classify a reply that did not say yes."""
    return smtp_rule_for(command, code, text).kind
