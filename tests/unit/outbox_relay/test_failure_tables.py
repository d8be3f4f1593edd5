"""Each row of each failure table has examples, and each example matches its row."""

import errno
import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_relay.failures.http import HTTP_RULES, from_http_status, http_rule_for
from outbox_relay.failures.network import NETWORK_RULES, connection_failure, network_rule_for
from outbox_relay.failures.smtp import SMTP_RULES, SmtpCommand, from_smtp_reply, smtp_rule_for
from outbox_relay.model import FailureClass

CONNECT, EHLO, STARTTLS = SmtpCommand.CONNECT, SmtpCommand.EHLO, SmtpCommand.STARTTLS
AUTH, MAIL = SmtpCommand.AUTH, SmtpCommand.MAIL
RCPT, DATA, END = SmtpCommand.RCPT, SmtpCommand.DATA, SmtpCommand.CONTENT

SMTP_EXAMPLES = {
    "a reply before the server hangs up": [
        (CONNECT, 421, "busy"),
        (RCPT, 421, "4.7.0 too many"),
        (END, 421, "5.1.1 x"),
    ],
    "a non-ASCII address, although the server offered SMTPUTF8": [
        (MAIL, 550, "5.6.7 non-ASCII addresses not permitted"),
        (RCPT, 553, "5.6.7 non-ASCII addresses not permitted for that recipient"),
        (END, 554, "5.6.9 UTF-8 header message cannot be transferred"),
        (DATA, 554, "5.6.10 the same"),
    ],
    "refused before a recipient was named": [
        (CONNECT, 554, "no SMTP service here"),
        (EHLO, 550, "5.1.1 who are you"),
        (STARTTLS, 454, "4.7.0 TLS not available"),
        (AUTH, 535, "5.7.8 wrong"),
        (MAIL, 552, "5.3.4 too big"),
    ],
    "the server accepts no mail": [(RCPT, 521, "5.3.2 no mail here"), (DATA, 521, "5.1.1 no mail here")],
    "our login": [
        (RCPT, 432, "4.7.12 a password transition is needed"),
        (RCPT, 454, "4.7.0 temporary authentication failure"),
        (RCPT, 530, "5.7.0 must issue a STARTTLS command first"),
        (DATA, 534, "5.7.9 mechanism too weak"),
        (DATA, 535, "5.7.8 credentials invalid"),
        (RCPT, 538, "5.7.11 encryption required"),
    ],
    "our commands": [
        (RCPT, 455, "4.5.4 parameters"),
        (RCPT, 500, "5.5.2 line too long"),
        (DATA, 502, "5.5.1 not implemented"),
        (DATA, 503, "5.5.1 bad sequence of commands"),
        (RCPT, 504, "5.5.4 parameter not implemented"),
        (RCPT, 555, "5.5.4 unsupported option"),
    ],
    "our sender: its syntax, its system": [(RCPT, 550, "5.1.7 bad sender"), (RCPT, 450, "4.1.8 sender not found")],
    "our login: credentials, mechanism, encryption, trust": [
        (RCPT, 550, "5.7.8 credentials"),
        (RCPT, 550, "5.7.9 mechanism"),
        (END, 550, "5.7.10 encryption needed"),
        (RCPT, 550, "5.7.11 encryption"),
        (RCPT, 450, "4.7.12 transition"),
        (RCPT, 550, "5.7.13 account disabled"),
        (RCPT, 550, "5.7.14 trust relationship required"),
        (END, 550, "5.7.30 REQUIRETLS support required"),
    ],
    "our reputation: DKIM, SPF, reverse DNS, null MX, too much mail, ARC": [
        (END, 550, f"5.7.{detail} no") for detail in range(20, 30)
    ],
    "our reputation with Exchange Online": [
        (RCPT, 550, "5.7.606 Access denied, banned sending IP [192.0.2.1]"),
        (RCPT, 451, "4.7.500 Server busy. Please try again later"),
        (END, 550, "5.7.501 Access denied, spam abuse detected"),
        (END, 550, "5.7.705 Access denied, tenant has exceeded threshold"),
        (END, 554, "5.2.252 SendAsDenied; not allowed to send as another"),
    ],
    "we may not relay, send, or connect": [
        (RCPT, 554, "5.7.1 <ada@example.org>: Relay access denied"),
        (RCPT, 450, "4.7.1 Client host rejected: cannot find your hostname"),
        (RCPT, 550, "Sender verify failed"),
        (RCPT, 550, "5.5.2 <host>: Helo command rejected: need fully-qualified hostname"),
        (END, 554, "Message rejected: Email address is not verified"),
        (RCPT, 550, "5.1.0 <no-reply@example.org>: Sender address rejected: User unknown in local recipient table"),
        (RCPT, 550, "relay not permitted"),
        (END, 550, "The from address does not match a verified Sender Identity"),
        (END, 550, "5.7.60 SMTP; Client does not have permissions to send as this sender"),
        (END, 554, "5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied"),
        (END, 554, "Message rejected: Sending suspended for this account"),
    ],
    "the address is wrong, has moved, or its domain takes no mail": [
        (RCPT, 550, "5.1.0 address rejected"),
        (RCPT, 550, "5.1.1 <relay@example.org>: unknown"),
        (RCPT, 550, "5.1.2 bad destination system"),
        (RCPT, 501, "5.1.3 bad address syntax"),
        (RCPT, 553, "5.1.4 ambiguous"),
        (RCPT, 551, "5.1.6 moved"),
        (RCPT, 556, "5.1.10 null MX"),
        (END, 550, "5.1.1 unknown after all"),
    ],
    "the mailbox is disabled": [(RCPT, 550, "5.2.1 disabled"), (END, 554, "5.2.1 disabled")],
    "the mailbox has a new owner": [(RCPT, 550, "5.7.17 owner changed"), (END, 550, "5.7.18 domain owner changed")],
    "our IP address is on a block list": [
        (RCPT, 554, "5.7.1 blocked using zen.spamhaus.example"),
        (RCPT, 550, "5.7.1 Your IP is blacklisted"),
        (RCPT, 554, "5.7.1 IP blocklisted"),
        (RCPT, 550, "5.7.1 IP 192.0.2.1 is listed"),
        (END, 550, "5.7.1 messages weren't sent: part of their network is on our block list (S3140)"),
        (RCPT, 550, "the IP address 192.0.2.1 has been blocked"),
        (END, 550, "5.7.1 unusual rate of unsolicited mail originating from your IP address"),
    ],
    "we send too much": [
        (RCPT, 550, "5.4.5 Daily sending quota exceeded"),
        (RCPT, 450, "4.7.1 rate limit reached"),
        (RCPT, 451, "too many messages from you"),
    ],
    "the mail system, not the message": [
        (RCPT, 452, "4.3.1 insufficient system storage"),
        (DATA, 451, "4.3.0 not now"),
        (END, 451, "4.3.5 configuration error"),
        (RCPT, 550, "5.3.2 system not accepting messages"),
        (RCPT, 554, "5.3.5 system incorrectly configured"),
    ],
    "not now: greylisting, a full or busy mailbox": [
        (RCPT, 450, "4.2.0 Greylisted"),
        (RCPT, 450, "4.2.1 receiving mail too quickly"),
        (RCPT, 451, "try again in 5 minutes"),
        (RCPT, 452, "4.2.2 mailbox full"),
        (RCPT, 451, "4.4.1 no answer from host"),
        (END, 451, "4.7.1 greylisted"),
    ],
    "a full mailbox, which can be emptied": [(RCPT, 550, "5.2.2 over quota"), (END, 552, "5.2.2 over quota")],
    "the message is too big, or its format is not supported": [
        (RCPT, 552, "5.2.3 too long for this mailbox"),
        (RCPT, 550, "5.3.3 not capable"),
        (END, 552, "5.3.4 too big"),
        (END, 554, "5.6.0 media error"),
        (DATA, 550, "5.6.1 media not supported"),
    ],
    "552 at RCPT is read as 452": [(RCPT, 552, "mailbox full")],
    "no such mailbox, not here, not allowed; 556: the domain takes no mail": [
        (RCPT, 501, "bad address syntax"),
        (RCPT, 550, "no such user here"),
        (RCPT, 550, "5.4.1 Recipient address rejected: Access denied"),
        (RCPT, 551, "user not local"),
        (RCPT, 553, "mailbox name not allowed"),
        (RCPT, 554, "5.7.1 Recipient address rejected"),
        (RCPT, 556, "no mail for that domain"),
        (RCPT, 550, "5.5.0 mailbox unavailable"),
    ],
    "the message is refused": [
        (END, 550, "5.7.1 unsolicited mail"),
        (END, 551, "not here"),
        (END, 552, "too much mail data"),
        (END, 553, "no"),
        (END, 554, "transaction failed"),
        (DATA, 554, "no valid recipients"),
    ],
    "anything else": [(RCPT, 250, "not an answer"), (RCPT, 354, "out of step"), (DATA, 250, "what"), (END, 571, "?")],
}

HTTP_EXAMPLES = {
    "the gateway refuses the recipient": [
        (400, "invalid_recipient"),
        (413, "invalid_recipient"),
        (422, "invalid_recipient"),
    ],
    "the gateway refuses the request": [(400, ""), (413, "bad"), (422, "too_long")],
    "an earlier request with the same Idempotency-Key is still running": [(409, ""), (409, "invalid_recipient")],
    "our account: token, balance or permission": [(401, ""), (402, ""), (403, "invalid_recipient"), (407, "")],
    "our sending rate, or the gateway's load": [(408, ""), (425, ""), (429, "")],
    "a redirect: the relay sends messages to the configured URL only": [(301, ""), (307, ""), (308, "")],
    "the gateway, or a server behind it": [(500, ""), (502, ""), (503, "invalid_recipient"), (504, "")],
    "anything else: a wrong URL or method is a configuration error": [(404, ""), (405, ""), (418, "")],
}

BREAK_EXAMPLES: dict[str, list[BaseException]] = {
    "certificate not trusted": [ssl.SSLCertVerificationError(1, "certificate verify failed: Hostname mismatch")],
    "TLS failed": [ssl.SSLError(1, "wrong version number"), ssl.SSLEOFError(8, "EOF"), ssl.SSLError("handshake")],
    "the channel's own text": [
        TimeoutError("the server did not reply in time"),
        ConnectionResetError("421 4.3.2 shutting down"),
        ConnectionRefusedError("the server does not offer STARTTLS"),
        LookupError(),
    ],
    "no such host": [socket.gaierror(socket.EAI_NONAME, "Name or service not known")],
    "connection refused": [ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed")],
    "connection broken": [
        ConnectionResetError(errno.ECONNRESET, "reset by peer"),
        ConnectionAbortedError(errno.ECONNABORTED, "aborted"),
        BrokenPipeError(errno.EPIPE, "broken pipe"),
    ],
    "no response in time": [TimeoutError(errno.ETIMEDOUT, "timed out")],
    "network failed": [OSError(errno.ENETUNREACH, "unreachable"), OSError(errno.EHOSTUNREACH, "no route to host")],
}


def test_every_row_has_examples() -> None:
    assert [rule.meaning for rule in SMTP_RULES] == list(SMTP_EXAMPLES)
    assert [rule.meaning for rule in HTTP_RULES] == list(HTTP_EXAMPLES)
    assert [rule.cause for rule in NETWORK_RULES] == list(BREAK_EXAMPLES)
    assert all([*SMTP_EXAMPLES.values(), *HTTP_EXAMPLES.values(), *BREAK_EXAMPLES.values()])


@pytest.mark.parametrize("row", SMTP_EXAMPLES)
def test_a_reply_matches_its_row(row: str) -> None:
    examples = SMTP_EXAMPLES[row]
    assert {example: smtp_rule_for(*example).meaning for example in examples} == dict.fromkeys(examples, row)
    assert {from_smtp_reply(*example) for example in examples} == {smtp_rule_for(*examples[0]).kind}


@pytest.mark.parametrize("row", HTTP_EXAMPLES)
def test_a_status_matches_its_row(row: str) -> None:
    examples = HTTP_EXAMPLES[row]
    assert {example: http_rule_for(*example).meaning for example in examples} == dict.fromkeys(examples, row)
    assert {from_http_status(*example) for example in examples} == {http_rule_for(*examples[0]).kind}


@pytest.mark.parametrize("cause", BREAK_EXAMPLES)
@pytest.mark.parametrize("maybe_accepted", [False, True], ids=["before the hand-over", "after it"])
def test_a_break_matches_its_row_and_is_classed_by_phase(cause: str, *, maybe_accepted: bool) -> None:
    for error in BREAK_EXAMPLES[cause]:
        failure = connection_failure("smtp:mx:25", error, maybe_accepted=maybe_accepted)
        assert network_rule_for(error).cause == cause
        assert failure.kind is (FailureClass.TRANSIENT if maybe_accepted else FailureClass.PROVIDER)
        assert failure.maybe_accepted is maybe_accepted
        assert failure.error.startswith(f"{cause}: ") is (cause != "the channel's own text")


@given(st.sampled_from(SmtpCommand), st.integers(200, 599), st.text(max_size=60))
def test_each_reply_has_a_row_and_only_replies_after_rcpt_are_final(command: SmtpCommand, code: int, text: str) -> None:
    kind = from_smtp_reply(command, code, text)
    assert kind is FailureClass.PROVIDER or command in (RCPT, DATA, END)


@given(st.integers(100, 599), st.text(max_size=30))
def test_each_status_has_a_row(status: int, code: str) -> None:
    assert from_http_status(status, code) in FailureClass
