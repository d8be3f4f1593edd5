"""Bounces as mail servers write them, a receiver process, and an LMTP client."""

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx

from shared.reports.return_paths import BounceAddress
from tests.support import plain_http
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.forwarding import unused_port
from tests.support.keys import KEY, SECRET_KEYS
from tests.support.processes import Running, running

BASE = "bounces@signpost.example"
RECIPIENT = "ada@example.org"
USER_UNKNOWN = "smtp; 550 5.1.1 <ada@example.org>: Recipient address rejected: User unknown"


def bounce_address(message_id: UUID, recipient: str = RECIPIENT, key: bytes = KEY) -> str:
    return BounceAddress(BASE, key).sender_of(message_id, recipient)


def delivery_status(action: str, status: str, diagnostic: str = USER_UNKNOWN) -> bytes:
    """Return a bounce as Postfix writes it (RFC 3464)."""
    return f"""\
Return-Path: <>
Date: Wed, 25 Nov 2026 01:00:00 +0000
From: MAILER-DAEMON@mx.example.org (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {BASE}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; someone.else@example.net
Original-Recipient: rfc822;{RECIPIENT}
Action: {action}
Status: {status}
Diagnostic-Code: {diagnostic}
Last-Attempt-Date: Wed, 25 Nov 2026 02:00:00 +0100

--b
Content-Type: text/rfc822-headers

Subject: 123456 is your code

--b--
""".replace("\n", "\r\n").encode()


def complaint(envelope_sender: str, kind: str = "abuse") -> bytes:
    """Return a feedback report (RFC 5965)."""
    return f"""\
From: <feedback@isp.example>
Subject: FW: Your code
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an email abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <{envelope_sender}>
Arrival-Date: Wed, 25 Nov 2026 01:00:00 +0000

--b
Content-Type: message/rfc822

Return-Path: <{envelope_sender}>
Subject: Your code

Hello

--b--
""".replace("\n", "\r\n").encode()


AUTO_REPLY = b"""\
From: Ada <ada@example.org>\r
Subject: Out of office\r
Auto-Submitted: auto-replied (vacation)\r
\r
I am away. Your mail could not be delivered to me personally.\r
"""


@dataclass(frozen=True)
class RunningReceiver(Running):
    """A receiver process, and the port of its LMTP server."""

    port: int

    def get(self, path: str) -> httpx.Response:
        [started] = eventually(lambda: [line for line in self.log_lines() if line["event"] == "receiver started"])
        return plain_http.get(f"http://{started['admin_bind']}{path}", timeout=30)

    def deliver(self, mail: bytes, to: str) -> bytes:
        """Deliver a mail over LMTP, and return the reply to it. Raises SMTPException if it is refused."""
        with smtplib.LMTP("127.0.0.1", self.port, timeout=30) as client:
            client.ehlo_or_helo_if_needed()
            client.mail("<>")
            client.rcpt(to)
            status, text = client.data(mail)
            return b"%d %s" % (status, text)

    def outcomes(self) -> list[str]:
        return [line["outcome"] for line in self.log_lines() if line["event"] == "bounce mail taken"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def receiver_environment(database: Database, **settings: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database.cluster.url(database.name, user="receiver"),
        "FEEDBACK_KEYS": SECRET_KEYS,
        "RECEIVER_ADMIN_BIND": "127.0.0.1:0",
    } | settings


@contextmanager
def running_receiver(database: Database, *, port: int = 0, **settings: str) -> Iterator[RunningReceiver]:
    """Run `signpost-receiver bounces` with LMTP on a port, and kill it at the end."""
    port = port or unused_port()
    environment = receiver_environment(database, BOUNCE_LMTP_BIND=f"127.0.0.1:{port}") | settings
    with running(("signpost-receiver", "bounces"), environment) as started:
        receiver = RunningReceiver(started.process, started.log_path, port)
        eventually(lambda: receiver.process.poll() is not None or "receiver started" in receiver.log_text())
        yield receiver


def reports(database: Database) -> list[dict[str, Any]]:
    """Return all stored reports, the oldest first."""
    with database.connect() as owner:
        rows = owner.execute("select to_jsonb(row) from delivery_reports as row order by received_at").fetchall()
    return [row for (row,) in rows]


def some_id() -> UUID:
    return uuid4()
