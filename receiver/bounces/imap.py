"""Fetch bounces from an IMAP mailbox (RFC 3501). A mail is deleted after its report is committed."""

import imaplib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any

import psycopg

from receiver.bounces.intake import Intake, recipients_of
from receiver.bounces.report_mail import LONGEST_READ_BYTES, parse
from receiver.bounces.settings import Mailbox
from receiver.metrics import BOUNCE_MAILBOX_FAILING, MailOutcome
from shared.log import get_logger

TIMEOUT_SECONDS = 30
STORED = frozenset({MailOutcome.STORED, MailOutcome.REPEATED})
_FAILURES = (imaplib.IMAP4.error, OSError, psycopg.Error)

log = get_logger("receiver.imap")


class ImapError(imaplib.IMAP4.error):
    """A command was refused. Its text is the server's, and is not logged."""


class ImapPoller:
    """Looks for new mails in one mailbox.

    Mails with a report are deleted. Others are marked as seen and stay: they may be a person's.
    """

    def __init__(self, mailbox: Mailbox, intake: Intake, seconds: int) -> None:
        self._mailbox = mailbox
        self._intake = intake
        self._seconds = seconds
        self.is_failing = False
        BOUNCE_MAILBOX_FAILING.set_function(lambda: self.is_failing)

    def run(self, stopping: Event) -> None:
        """Poll until ``stopping`` is set."""
        while not stopping.is_set():
            try:
                self.poll(stopping)
            except _FAILURES as error:
                if not self.is_failing:
                    log.warning("imap failed", error=type(error).__name__)
                self.is_failing = True
            else:
                if self.is_failing:
                    log.info("imap works again")
                self.is_failing = False
            stopping.wait(self._seconds)

    def poll(self, stopping: Event) -> None:
        """Read all new mails, one after the other. Raises what the server, the network or the database raises."""
        with opened(self._mailbox) as connection:
            found = _accepted(connection.uid("SEARCH", "UNSEEN", "UNDELETED"))[0] or b""
            for uid in found.split():
                if stopping.is_set():
                    return
                self._take_safely(connection, uid.decode())

    def _take_safely(self, connection: imaplib.IMAP4_SSL, uid: str) -> None:
        """Leave a mail where it is if a bug prevents its reading, and continue with the next one."""
        try:
            self._take(connection, uid)
        except _FAILURES:
            raise
        except Exception:
            log.exception("bounce failed")

    def _take(self, connection: imaplib.IMAP4_SSL, uid: str) -> None:
        # PEEK leaves the mail unseen until it is done; the length limits memory.
        fetched = _accepted(connection.uid("FETCH", uid, f"(BODY.PEEK[]<0.{LONGEST_READ_BYTES}>)"))
        raw = next((part[1] for part in fetched if isinstance(part, tuple)), None)
        if raw is None:
            return  # another client has deleted it
        outcome = self._intake.take(raw, recipients_of(parse(raw)))
        if outcome in STORED:
            _accepted(connection.uid("STORE", uid, "+FLAGS.SILENT", r"(\Deleted)"))
            _expunge(connection, uid)
        else:
            _accepted(connection.uid("STORE", uid, "+FLAGS.SILENT", r"(\Seen)"))


@contextmanager
def opened(mailbox: Mailbox) -> Iterator[imaplib.IMAP4_SSL]:
    """Log in, select the mailbox, and log out at the end."""
    context = ssl.create_default_context()
    connection = imaplib.IMAP4_SSL(mailbox.host, mailbox.port, ssl_context=context, timeout=TIMEOUT_SECONDS)
    try:
        connection.login(mailbox.user, mailbox.password)
        _accepted(connection.select(_quoted(mailbox.name)))
        yield connection
    finally:
        with suppress(imaplib.IMAP4.error, OSError):
            connection.logout()


def mailbox_problem(mailbox: Mailbox) -> str | None:
    """Return why the mailbox cannot be read, or None."""
    try:
        with opened(mailbox):
            return None
    except ssl.SSLCertVerificationError:
        return "the certificate of the server is not valid for its name, or its issuer is not trusted"
    except imaplib.IMAP4.error:
        return "the server rejects the login or the mailbox"
    except OSError as error:
        return f"the server cannot be reached: {type(error).__name__}"


def _expunge(connection: imaplib.IMAP4_SSL, uid: str) -> None:
    """Remove the mail. Without UIDPLUS (RFC 4315), mails that other clients have marked are removed as well."""
    if "UIDPLUS" in connection.capabilities:
        _accepted(connection.uid("EXPUNGE", uid))
    else:
        _accepted(connection.expunge())


def _accepted(response: tuple[str, list[Any]]) -> list[Any]:
    status, data = response
    if status != "OK":
        raise ImapError
    return data


def _quoted(name: str) -> str:
    return '"' + re.sub(r'([\\"])', r"\\\1", name) + '"'
