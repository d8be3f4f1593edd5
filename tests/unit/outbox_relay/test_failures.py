from datetime import UTC, datetime, timedelta

import pytest

from outbox_relay.db.connection import storable
from outbox_relay.failures.http import from_http_status, retry_after_header
from outbox_relay.failures.network import (
    LONGEST_ERROR,
    LONGEST_WAIT,
    connection_failure,
    retry_after_in,
    root_cause,
)
from outbox_relay.failures.smtp import SmtpCommand, from_smtp_reply
from outbox_relay.model import FailureClass
from shared.texts import printable

PROVIDER, RECIPIENT = FailureClass.PROVIDER, FailureClass.RECIPIENT
TRANSIENT, CONTENT = FailureClass.TRANSIENT, FailureClass.CONTENT
CONNECT, EHLO, AUTH, MAIL = SmtpCommand.CONNECT, SmtpCommand.EHLO, SmtpCommand.AUTH, SmtpCommand.MAIL
RCPT, DATA, END = SmtpCommand.RCPT, SmtpCommand.DATA, SmtpCommand.CONTENT
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("command", SmtpCommand)
def test_a_closing_server_is_the_providers_fault_at_any_stage(command: SmtpCommand) -> None:
    assert from_smtp_reply(command, 421, "4.3.2 closing") is PROVIDER


def test_a_command_has_the_name_that_operators_know() -> None:
    names = ["connect", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "content"]
    assert [command.value for command in SmtpCommand] == names


@pytest.mark.parametrize("command", [CONNECT, EHLO, SmtpCommand.STARTTLS, AUTH, MAIL])
@pytest.mark.parametrize("code", [400, 450, 451, 452, 454, 500, 501, 530, 535, 550, 552, 553, 554])
def test_a_rejection_before_rcpt_kills_no_message(command: SmtpCommand, code: int) -> None:
    assert from_smtp_reply(command, code, "5.1.1 no") is PROVIDER


@pytest.mark.parametrize(
    ("command", "code", "text", "kind"),
    [
        (RCPT, 450, "4.2.0 Greylisted", TRANSIENT),
        (RCPT, 451, "try later", TRANSIENT),
        (RCPT, 452, "4.2.2 mailbox full", TRANSIENT),
        (RCPT, 552, "mailbox full", TRANSIENT),
        (RCPT, 550, "5.2.2 over quota", TRANSIENT),
        (RCPT, 550, "no such user here", RECIPIENT),
        (RCPT, 550, "5.1.1 <relay@example.org>: unknown", RECIPIENT),
        (RCPT, 551, "user not local", RECIPIENT),
        (RCPT, 553, "mailbox name not allowed", RECIPIENT),
        (RCPT, 556, "5.1.10 null MX", RECIPIENT),
        (RCPT, 501, "5.1.3 bad address syntax", RECIPIENT),
        (RCPT, 503, "5.5.1 bad sequence of commands", PROVIDER),
        (RCPT, 554, "5.7.1 <ada@example.org>: Relay access denied", PROVIDER),
        (RCPT, 550, "5.7.1 Unable to relay", PROVIDER),
        (RCPT, 450, "4.7.1 Client host rejected: cannot find your hostname", PROVIDER),
        (RCPT, 554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using a list", PROVIDER),
        (RCPT, 550, "5.1.8 <us@example.org>: Sender address rejected: Domain not found", PROVIDER),
        (RCPT, 530, "5.7.0 Authentication required", PROVIDER),
        (RCPT, 550, "authentication is required", PROVIDER),
        (END, 550, "not allowed to send as us@example.org", PROVIDER),
        (END, 554, "domain not verified", PROVIDER),
        (END, 550, "sending paused for this account", PROVIDER),
        (RCPT, 550, "not permitted to relay", PROVIDER),
        (RCPT, 550, "relaying is denied", PROVIDER),
        (RCPT, 550, "relaying denied", PROVIDER),
        (RCPT, 400, "not now", TRANSIENT),
        (RCPT, 499, "not now", TRANSIENT),
        (RCPT, 501, "5.1.1 unknown", RECIPIENT),
        (RCPT, 599, "5.1.1 unknown", RECIPIENT),
        (RCPT, 250, "not an answer", PROVIDER),
        (DATA, 451, "4.3.0 not now", PROVIDER),
        (DATA, 554, "5.6.0 no", CONTENT),
        (DATA, 503, "5.5.1 bad sequence", PROVIDER),
        (END, 451, "4.3.0 queue file write error", PROVIDER),
        (END, 452, "4.3.1 insufficient storage", PROVIDER),
        (END, 552, "5.3.4 too big", CONTENT),
        (END, 554, "5.6.0 looks like spam", CONTENT),
        (END, 550, "5.7.1 unsolicited mail", CONTENT),
        (END, 550, "5.1.1 unknown after all", RECIPIENT),
        (END, 550, "5.7.26 unauthenticated mail from us is not accepted", PROVIDER),
        (END, 554, "Message rejected: Email address is not verified", PROVIDER),
    ],
)
def test_rejections_are_classified_by_code_and_text(
    command: SmtpCommand, code: int, text: str, kind: FailureClass
) -> None:
    assert from_smtp_reply(command, code, text) is kind


def test_a_quoted_address_cannot_imitate_a_provider_failure() -> None:
    assert from_smtp_reply(RCPT, 550, '<"relay-access-denied"@example.org>: unknown') is RECIPIENT


def test_an_enhanced_code_counts_at_the_beginning_of_a_reply_only() -> None:
    assert from_smtp_reply(RCPT, 550, "<5.7.8@example.org>: unknown") is RECIPIENT


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ((400, 413, 422), CONTENT),
        ((409,), TRANSIENT),
        ((301, 307, 401, 402, 403, 404, 405, 408, 418, 425, 429, 500, 502, 503, 504), PROVIDER),
    ],
)
def test_http_statuses_determine_the_failure_class(statuses: tuple[int, ...], kind: FailureClass) -> None:
    assert {from_http_status(status, "") for status in statuses} == {kind}


def test_only_request_errors_can_be_the_recipients_fault() -> None:
    assert from_http_status(422, "invalid_recipient") is RECIPIENT
    assert from_http_status(503, "invalid_recipient") is PROVIDER


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4.2.0 Greylisted, try again in 5 minutes", 300),
        ("Please retry after 300 seconds", 300),
        ("greylisted for 59s", 59),
        ("Graylisted; please wait 2 hours", 7200),
        ("4.7.0 Try again in 5 min.", 300),
        ("wait 1 h", 3600),
        ("Wait 90 sec", 90),
        ("come back in 3 mins", 180),
        ("once again: 7 m", 420),
        ("retry in 1 hour", 3600),
        ("try after 45 s", 45),
        ("greylist: 20 secs", 20),
        ("graylist, 1 minute", 60),
        ("retry after 1 second", 1),
        ("try again in 99999 hours", LONGEST_WAIT.total_seconds()),
    ],
)
def test_hints_of_greylisting_servers_are_found(text: str, seconds: float) -> None:
    assert retry_after_in(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "try again later",
        "queue of 300 seconds",
        "quota of 5 MB, try again",
        "try again later. The quota of 5 h is used up",
        "try again, queue id 7F5 m",
        "retry after 1234567 seconds",
        "try again in 5 \N{LATIN SMALL LETTER LONG S}",
    ],
)
def test_other_texts_give_no_hint(text: str) -> None:
    assert retry_after_in(text) is None


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", timedelta(seconds=120)),
        ("0", timedelta(0)),
        ("9" * 5000, LONGEST_WAIT),
        ("Sat, 21 Nov 2026 12:01:00 GMT", timedelta(minutes=1)),
        ("Sat, 21 Nov 2026 12:01:00 -0000", timedelta(minutes=1)),
        ("Sat, 21 Nov 2026 11:00:00 GMT", timedelta(0)),
        ("Sat, 21 Nov 9000 11:00:00 GMT", LONGEST_WAIT),
        (None, None),
        ("", None),
        ("-5", None),
        ("²", None),
        ("soon", None),
        ("Mon, 01 Jan 99999999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_WAIT),
        ("Mon, 01 Jan 0001 00:00:00 +2359", timedelta(0)),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, wait: timedelta | None) -> None:
    assert retry_after_header(value, NOON) == wait


def test_a_break_before_submission_costs_no_attempt() -> None:
    before = connection_failure("smtp:a:25", ConnectionResetError("closed"), maybe_accepted=False)
    after = connection_failure("smtp:a:25", TimeoutError(), maybe_accepted=True)
    assert (before.kind, before.maybe_accepted, before.error) == (PROVIDER, False, "closed")
    assert (after.kind, after.maybe_accepted, after.error) == (TRANSIENT, True, "no response in time")


def test_a_long_text_is_cut_and_a_text_less_error_is_named_by_its_class() -> None:
    long, bare = ConnectionError("x" * 600), ConnectionError()
    assert connection_failure("smtp:a:25", long, maybe_accepted=False).error == "x" * LONGEST_ERROR
    assert connection_failure("smtp:a:25", bare, maybe_accepted=False).error == "ConnectionError"


def test_a_hint_in_the_text_of_a_broken_connection_is_kept() -> None:
    failure = connection_failure("smtp:a:25", ConnectionError("421 try again in 5 minutes"), maybe_accepted=True)
    assert (failure.provider, failure.retry_after) == ("smtp:a:25", timedelta(minutes=5))


def test_the_root_cause_is_the_error_of_the_operating_system() -> None:
    refused, reset = ConnectionRefusedError(111, "refused"), ConnectionResetError(104, "reset")
    assert root_cause(raised(RuntimeError("outer"), cause=refused)) is refused
    assert root_cause(raised(RuntimeError("outer"), cause=raised(OSError("no number"), cause=refused))) is refused
    silent = TimeoutError()
    assert root_cause(raised(RuntimeError("outer"), cause=silent)) is silent
    assert root_cause(raised(RuntimeError("outer"), context=reset)) is reset
    assert root_cause(raised(RuntimeError("outer"), cause=ExceptionGroup("hosts", [refused, reset]))) is refused
    alone = RuntimeError("outer")
    assert root_cause(alone) is alone


def raised(
    error: BaseException, *, cause: BaseException | None = None, context: BaseException | None = None
) -> BaseException:
    error.__cause__, error.__context__ = cause, context
    return error


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain é", "plain é"), ("two\r\nlines\n", "two  lines"), ("nul\0, \ud800 surrogate", "nul ,   surrogate")],
)
def test_unprintable_characters_become_spaces(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (None, None),
        ("", ""),
        ("plain", "plain"),
        ("é", "é"),
        ("nul\0", "nul"),
        ("é\0", "é"),
        ("\ud800 surrogate", "? surrogate"),
        ("x" * 600, "x" * LONGEST_ERROR),
        ("é" * 600, "é" * LONGEST_ERROR),
    ],
)
def test_a_text_loses_what_postgresql_cannot_store(text: str | None, stored: str | None) -> None:
    assert storable(text) == stored
