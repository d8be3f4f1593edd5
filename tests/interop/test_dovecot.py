"""Dovecot's mailbox: the receiver fetches bounces over IMAP, and deletes a mail only after its report is stored."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.support.bounces import (
    AUTO_REPLY,
    RunningReceiver,
    bounce_address,
    delivery_status,
    receiver_environment,
    reports,
    some_id,
)
from tests.support.databases import Database
from tests.support.dovecot import Dovecot, dovecot
from tests.support.eventually import eventually
from tests.support.processes import completed, running

BOUNCE = delivery_status("failed", "5.1.1")
SEEN = [b"\\Seen"]

RECIPIENT_HEADERS = ("Delivered-To", "X-Original-To", "Envelope-to", "To")
"""Where mail servers write the recipient of a bounce."""


@pytest.fixture
def server() -> Iterator[Dovecot]:
    with dovecot() as server:
        yield server


def settings_for(database: Database, server: Dovecot, **settings: str) -> dict[str, str]:
    return (
        receiver_environment(database, BOUNCE_IMAP_URL=server.url(), BOUNCE_IMAP_SECONDS="1")
        | {"SSL_CERT_FILE": str(server.authority.file)}
        | settings
    )


@contextmanager
def polling(database: Database, server: Dovecot, **settings: str) -> Iterator[RunningReceiver]:
    with running(("signpost-receiver", "bounces"), settings_for(database, server, **settings)) as started:
        receiver = RunningReceiver(started.process, started.log_path, 0)
        eventually(lambda: "receiver started" in receiver.log_text())
        yield receiver


def check(environment: dict[str, str]) -> str:
    return completed(("signpost-receiver", "check-settings", "--connect"), environment).stdout


def test_bounces_are_fetched_stored_and_deleted(server: Dovecot, database: Database) -> None:
    message_ids = [some_id() for _ in RECIPIENT_HEADERS]
    for header, message_id in zip(RECIPIENT_HEADERS, message_ids, strict=True):
        server.put(f"{header}: <{bounce_address(message_id)}>\r\n".encode() + BOUNCE)
    with polling(database, server):
        eventually(lambda: len(reports(database)) == len(message_ids) and server.flags() == [])
    stored = [(row["message_id"], row["source"], row["kind"]) for row in reports(database)]
    assert sorted(stored) == sorted((str(message_id), "imap", "bounced") for message_id in message_ids)


def test_mails_without_a_report_stay_and_are_marked_as_seen(server: Dovecot, database: Database) -> None:
    address = bounce_address(some_id()).encode()
    forged = bounce_address(some_id(), key=bytes(32)).encode()
    server.put(b"Subject: A question\r\n\r\nHi\r\n")
    for to, mail in ((forged, BOUNCE), (address, AUTO_REPLY), (address, BOUNCE)):
        server.put(b"Delivered-To: %s\r\n%s" % (to, mail))
    with polling(database, server) as receiver:
        eventually(lambda: sorted(receiver.outcomes()) == ["auto_reply", "stored", "unverified", "unverified"])
        eventually(lambda: server.flags() == [SEEN] * 3)
    assert len(reports(database)) == 1


def test_a_mail_stays_while_the_database_is_away(server: Dovecot, database: Database) -> None:
    with psycopg.connect(database.cluster.url("postgres").replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(f"alter database {database.name} allow_connections false")
        server.put(b"To: %s\r\n%s" % (bounce_address(some_id()).encode(), BOUNCE))
        with polling(database, server) as receiver:
            eventually(lambda: "imap failed" in receiver.log_text())
            assert server.flags() == [[]]
            admin.execute(f"alter database {database.name} allow_connections true")
            eventually(lambda: reports(database))
            eventually(lambda: server.flags() == [])


def test_a_mail_whose_deletion_was_lost_is_stored_once(server: Dovecot, database: Database) -> None:
    mail = b"To: %s\r\n%s" % (bounce_address(some_id()).encode(), BOUNCE)
    for _ in range(2):  # after a kill between commit and deletion, the mail is there again
        server.put(mail)
        with polling(database, server):
            eventually(lambda: server.flags() == [])
    assert len(reports(database)) == 1


def test_a_server_that_comes_back_is_polled_again(server: Dovecot, database: Database) -> None:
    server.stop()
    with polling(database, server) as receiver:
        eventually(lambda: receiver.get("/readyz").json().get("held") == ["imap"])
        server.start()
        server.put(b"To: %s\r\n%s" % (bounce_address(some_id()).encode(), BOUNCE))
        eventually(lambda: reports(database))
        eventually(lambda: "held" not in receiver.get("/readyz").json())
        assert [word for word in ("@", "se/cr", "signpost.example") if word in receiver.log_text()] == []


def test_another_mailbox_can_be_named(server: Dovecot, database: Database) -> None:
    server.put(b"To: %s\r\n%s" % (bounce_address(some_id()).encode(), BOUNCE), mailbox="Bounces")
    with polling(database, server, BOUNCE_IMAP_URL=server.url(mailbox="Bounces")):
        eventually(lambda: reports(database))


def test_check_settings_logs_in(server: Dovecot, database: Database) -> None:
    environment = settings_for(database, server)
    assert "BOUNCE_IMAP_URL: connected" in check(environment)
    assert "rejects the login" in check(environment | {"BOUNCE_IMAP_URL": server.url(password="wrong")})
    assert "certificate" in check({name: value for name, value in environment.items() if name != "SSL_CERT_FILE"})
