"""Postfix and Exim return mails, and a Postfix of ours delivers the bounces to the receiver over LMTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from smtplib import SMTP
from typing import Any
from uuid import UUID

import pytest

from devstack.cluster import Cluster
from tests.support.bounces import BASE, RunningReceiver, bounce_address, reports, running_receiver, some_id
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually
from tests.support.exim import exim
from tests.support.forwarding import unused_port
from tests.support.postfix import Postfix, postfix

MAIL = b"From: no-reply@signpost.example\r\nTo: ada@example.org\r\nSubject: 123456 is your code\r\n\r\nHello\r\n"


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster) as database:
        yield database


@pytest.fixture(scope="module")
def receiver(database: Database) -> Iterator[RunningReceiver]:
    with running_receiver(database) as receiver:
        yield receiver


DOMAIN = BASE.partition("@")[2]
OF_ITS_OWN = {"relay_domains": DOMAIN}
SHARED = {"mydestination": DOMAIN, "local_recipient_maps": "inline:{bounces=bounces}"}


@contextmanager
def ours(receiver: RunningReceiver, remote_port: int, **settings: str) -> Iterator[Postfix]:
    """Run the Postfix of docs/guides/bounces.md, which sends mails to example.org to that port."""
    settings = settings if "mydestination" in settings else OF_ITS_OWN | settings
    here, there = f"lmtp:inet:127.0.0.1:{receiver.port}", f"smtp:[127.0.0.1]:{remote_port}"
    lookup = BASE if "mydestination" in settings else DOMAIN
    transports = f"inline:{{{{{lookup} = {here}}}, {{example.org = {there}}}}}"
    with postfix(recipient_delimiter="+", transport_maps=transports, **settings) as server:
        yield server


def send(server: Postfix, recipient: str) -> UUID:
    message_id = some_id()
    with SMTP("127.0.0.1", server.port, timeout=30) as client:
        client.sendmail(bounce_address(message_id), recipient, MAIL)
    return message_id


def reports_of(database: Database, message_id: UUID) -> list[dict[str, Any]]:
    return [row for row in reports(database) if row["message_id"] == str(message_id)]


def report_of(database: Database, message_id: UUID) -> dict[str, Any]:
    [row] = eventually(lambda: reports_of(database, message_id))
    assert row["recipient_tag"] is not None
    assert "@" not in (row["diagnostic"] or "")
    return row


@pytest.mark.parametrize("domain", [OF_ITS_OWN, SHARED], ids=["a domain of its own", "a shared domain"])
def test_a_mail_that_the_next_server_rejects_is_reported(
    receiver: RunningReceiver, database: Database, domain: dict[str, str]
) -> None:
    with (
        postfix(mydestination="example.org", local_recipient_maps="inline:{root=root}") as remote,
        ours(receiver, remote.port, **domain) as server,
    ):
        row = report_of(database, send(server, "ada@example.org"))
    assert (row["kind"], row["cause"], row["status_code"]) == ("bounced", "recipient", "5.1.1")
    assert "User unknown" in row["diagnostic"]


def test_a_mail_that_another_postfix_accepts_and_returns_is_reported(
    receiver: RunningReceiver, database: Database
) -> None:
    port = unused_port()
    with (
        ours(receiver, port) as server,
        postfix(
            mydestination="example.org",
            local_recipient_maps="",
            alias_database="",
            default_transport="smtp",
            relayhost=f"[127.0.0.1]:{server.port}",
            myhostname="mx.example.org",
        ) as remote,
        SMTP("127.0.0.1", remote.port, timeout=30) as client,
    ):
        message_id = some_id()
        client.sendmail(bounce_address(message_id), "nobody-of-this-name@example.org", MAIL)
        row = report_of(database, message_id)
    assert (row["kind"], row["cause"], row["status_code"]) == ("bounced", "recipient", "5.1.1")


@pytest.mark.parametrize(("user", "cause"), [("ada", "recipient"), ("full", "mailbox_full")])
def test_a_mail_that_exim_accepts_and_returns_is_reported(
    receiver: RunningReceiver, database: Database, user: str, cause: str
) -> None:
    with ours(receiver, unused_port()) as server, exim(relay=server.port) as port:
        message_id = some_id()
        with SMTP("127.0.0.1", port, timeout=30) as client:
            client.sendmail(bounce_address(message_id), f"{user}@example.org", MAIL)
        row = report_of(database, message_id)
    assert (row["kind"], row["cause"], row["is_permanent"]) == ("bounced", cause, True)


def test_a_mail_that_waits_is_reported_as_delayed_and_then_as_bounced(
    receiver: RunningReceiver, database: Database
) -> None:
    nothing_listens = unused_port()
    quick = {"queue_run_delay": "1s", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}
    with ours(receiver, nothing_listens, delay_warning_time="1s", maximal_queue_lifetime="5s", **quick) as server:
        message_id = send(server, "ada@example.org")
        rows = eventually(lambda: (found := reports_of(database, message_id))[1:] and found, seconds=90)
    assert [(row["kind"], row["is_permanent"]) for row in rows] == [("delayed", False), ("bounced", False)]


def test_a_bounce_waits_in_postfix_while_the_receiver_is_away(database: Database) -> None:
    port = unused_port()
    away = RunningReceiver(None, None, port)  # type: ignore[arg-type]
    quick = {"queue_run_delay": "1s", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}
    with (
        postfix(mydestination="example.org", local_recipient_maps="inline:{root=root}") as remote,
        ours(away, remote.port, **quick) as server,
    ):
        message_id = send(server, "ada@example.org")
        eventually(lambda: "Connection refused" in (server.folder / "log").read_text())
        with running_receiver(database, port=port):
            assert report_of(database, message_id)["kind"] == "bounced"
