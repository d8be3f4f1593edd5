"""`signpost-receiver bounces` as a process, with PostgreSQL and LMTP over a socket."""

import re
import smtplib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from devstack.cluster import Cluster
from tests.support.bounces import (
    AUTO_REPLY,
    BASE,
    RECIPIENT,
    RunningReceiver,
    bounce_address,
    complaint,
    delivery_status,
    receiver_environment,
    reports,
    running_receiver,
    some_id,
)
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually
from tests.support.processes import running
from tests.support.service_manager import supervisor

TAKEN = b"250 2.0.0 taken"
BOUNCE = delivery_status("failed", "5.1.1")


@pytest.fixture(scope="module")
def serving(cluster: Cluster) -> Iterator[tuple[Database, RunningReceiver]]:
    with fresh_database(cluster) as database, running_receiver(database) as receiver:
        yield database, receiver


@pytest.fixture
def database(serving: tuple[Database, RunningReceiver]) -> Iterator[Database]:
    """The database of ``receiver``, without reports."""
    yield serving[0]
    with serving[0].connect() as owner:
        owner.execute("delete from delivery_reports")


@pytest.fixture
def receiver(serving: tuple[Database, RunningReceiver]) -> RunningReceiver:
    return serving[1]


@pytest.fixture
def own_receiver(new_database: Database) -> Iterator[RunningReceiver]:
    """A process for one test only, whose metrics and log start empty."""
    with running_receiver(new_database) as receiver:
        yield receiver


def kinds(database: Database) -> list[tuple[str, str | None, bool]]:
    return [(row["kind"], row["cause"], row["is_permanent"]) for row in reports(database)]


def test_a_bounce_is_committed_before_it_is_acknowledged(database: Database, receiver: RunningReceiver) -> None:
    message_id = some_id()
    assert receiver.deliver(BOUNCE, bounce_address(message_id)) == TAKEN
    [row] = reports(database)
    assert (row["message_id"], row["source"], row["kind"]) == (str(message_id), "lmtp", "bounced")
    assert (row["cause"], row["is_permanent"], row["status_code"]) == ("recipient", True, "5.1.1")
    assert row["diagnostic"] == "550 5.1.1 … Recipient address rejected: User unknown"
    assert row["occurred_at"].startswith("2026-11-25T01:00:00")


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        (delivery_status("failed", "5.7.1", "smtp; 550 5.7.1 blocked"), ("bounced", "policy", True)),
        (delivery_status("failed", "4.2.2", "smtp; 452 4.2.2 full"), ("bounced", "mailbox_full", False)),
        (delivery_status("delayed", "4.4.1", "smtp; no answer"), ("delayed", None, False)),
        (delivery_status("delivered", "2.0.0", "smtp; 250 ok"), ("delivered", None, False)),
        (complaint("someone@example.net"), ("complained", None, False)),
    ],
)
def test_each_kind_of_report_is_stored(
    database: Database, receiver: RunningReceiver, mail: bytes, expected: tuple[str, str | None, bool]
) -> None:
    assert receiver.deliver(mail, bounce_address(some_id())) == TAKEN
    assert kinds(database) == [expected]


def test_a_complaint_is_known_by_the_envelope_sender_that_it_quotes(
    database: Database, receiver: RunningReceiver
) -> None:
    message_id = some_id()
    receiver.deliver(complaint(bounce_address(message_id)), BASE)
    [row] = reports(database)
    assert (row["message_id"], row["kind"]) == (str(message_id), "complained")


@pytest.mark.parametrize(
    "mail", [AUTO_REPLY, complaint(BASE, "not-spam"), b"", b"Subject: Hello\r\n\r\nHow are you?\r\n"]
)
def test_other_mails_are_taken_and_change_nothing(database: Database, receiver: RunningReceiver, mail: bytes) -> None:
    assert receiver.deliver(mail, bounce_address(some_id())) == TAKEN
    assert reports(database) == []


def test_a_bounce_to_an_address_without_a_valid_mac_is_counted_and_changes_nothing(
    new_database: Database, own_receiver: RunningReceiver
) -> None:
    genuine, another = bounce_address(some_id()), bounce_address(some_id())
    id_of_another = re.sub(r"\+\w+", another[another.index("+") : another.index(".")], genuine)
    forged = [
        BASE,
        bounce_address(some_id(), key=bytes(32)),
        id_of_another,
        genuine.replace(re.findall(r"\.(\w{5})\.", genuine)[0], "aaaaa"),
        "postmaster@signpost.example",
    ]
    for address in forged:
        assert own_receiver.deliver(BOUNCE, address) == TAKEN
    assert own_receiver.deliver(AUTO_REPLY, BASE) == TAKEN
    assert reports(new_database) == []
    assert own_receiver.outcomes() == ["unverified"] * 6
    assert 'signpost_bounce_mails_total{outcome="unverified",source="lmtp"} 6.0' in own_receiver.get("/metrics").text


def test_a_repeated_bounce_is_stored_once(new_database: Database, own_receiver: RunningReceiver) -> None:
    address = bounce_address(some_id())
    for each in (address, address.upper(), address):
        assert own_receiver.deliver(BOUNCE, each) == TAKEN
    assert len(reports(new_database)) == 1
    assert own_receiver.outcomes() == ["stored", "repeated", "repeated"]


def test_bounces_that_arrive_together_are_all_stored(database: Database, receiver: RunningReceiver) -> None:
    addresses = [bounce_address(some_id()) for _ in range(10)]
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(lambda address: receiver.deliver(BOUNCE, address), addresses * 2)) == {TAKEN}
    assert len(reports(database)) == 10


def test_a_mail_that_is_too_large_is_refused(database: Database, receiver: RunningReceiver) -> None:
    large = BOUNCE + (b"x" * 70 + b"\r\n") * 2**14
    assert receiver.deliver(large, bounce_address(some_id())).startswith(b"552 ")
    assert reports(database) == []
    assert receiver.deliver(BOUNCE, bounce_address(some_id())) == TAKEN


def test_the_end_of_a_long_mail_is_not_read(database: Database, receiver: RunningReceiver) -> None:
    long = BOUNCE + b"the returned message\r\n" * 30_000
    assert receiver.deliver(long, bounce_address(some_id())) == TAKEN
    assert kinds(database) == [("bounced", "recipient", True)]


def test_a_line_longer_than_the_standard_allows_is_taken(database: Database, receiver: RunningReceiver) -> None:
    assert receiver.deliver(BOUNCE + b"x" * 20_000 + b"\r\n", bounce_address(some_id())) == TAKEN
    assert len(reports(database)) == 1


def test_a_second_recipient_must_wait_for_a_transaction_of_its_own(receiver: RunningReceiver) -> None:
    with smtplib.LMTP("127.0.0.1", receiver.port, timeout=30) as client:
        client.ehlo_or_helo_if_needed()
        client.mail("<>")
        assert client.rcpt(bounce_address(some_id()))[0] == 250
        assert client.rcpt(bounce_address(some_id()))[0] == 452


def test_while_the_database_is_away_the_mail_stays_with_its_sender(
    new_database: Database, own_receiver: RunningReceiver
) -> None:
    address = bounce_address(some_id())
    with psycopg.connect(new_database.cluster.url("postgres").replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(f"alter database {new_database.name} allow_connections false")
        assert own_receiver.deliver(BOUNCE, address).startswith(b"451 ")
        assert own_receiver.get("/readyz").json()["missing"] == ["database"]
        admin.execute(f"alter database {new_database.name} allow_connections true")
    assert own_receiver.deliver(BOUNCE, address) == TAKEN
    assert own_receiver.get("/readyz").status_code == 200
    assert len(reports(new_database)) == 1


def test_a_bounce_is_stored_once_if_the_receiver_is_killed_before_its_commit(new_database: Database) -> None:
    address = bounce_address(some_id())
    with running_receiver(new_database) as first, new_database.connect() as owner, owner.transaction():
        owner.execute("lock table delivery_reports in share mode")  # the insert waits for it
        with ThreadPoolExecutor() as pool:
            delivery = pool.submit(first.deliver, BOUNCE, address)
            eventually(lambda: waits_for_a_lock(owner))
            first.kill()
            with pytest.raises((OSError, smtplib.SMTPException)):
                delivery.result()
    redelivered(new_database, address)


def test_a_bounce_is_stored_once_if_the_receiver_is_killed_before_its_reply(new_database: Database) -> None:
    address = bounce_address(some_id())
    with running_receiver(new_database) as first:
        client = smtplib.LMTP("127.0.0.1", first.port, timeout=30)
        client.ehlo_or_helo_if_needed()
        for command in ("MAIL FROM:<>", f"RCPT TO:<{address}>", "DATA"):
            client.docmd(command)
        client.send(BOUNCE + b".\r\n")
        eventually(lambda: reports(new_database))
        first.kill()
        client.close()  # the reply is lost
    redelivered(new_database, address)


def waits_for_a_lock(owner: psycopg.Connection) -> bool:
    return owner.execute("select from pg_locks where not granted").fetchone() is not None


def redelivered(database: Database, address: str) -> None:
    with running_receiver(database) as second:
        assert [second.deliver(BOUNCE, address) for _ in range(2)] == [TAKEN] * 2
    assert len(reports(database)) == 1


def test_a_stop_waits_for_the_mail_in_hand(new_database: Database) -> None:
    address = bounce_address(some_id())
    with running_receiver(new_database) as receiver, ThreadPoolExecutor() as pool:
        with new_database.connect() as owner, owner.transaction():
            owner.execute("lock table delivery_reports in share mode")
            delivery = pool.submit(receiver.deliver, BOUNCE, address)
            eventually(lambda: waits_for_a_lock(owner))
            receiver.process.terminate()
        assert delivery.result() == TAKEN
        assert receiver.process.wait(30) == 0


def test_nothing_that_is_logged_contains_an_address_or_a_secret(own_receiver: RunningReceiver) -> None:
    address = bounce_address(some_id())
    for mail in (BOUNCE, b"\xff\xfe" + BOUNCE, AUTO_REPLY):
        own_receiver.deliver(mail, address)
    with socket.create_connection(("127.0.0.1", own_receiver.port)) as client:
        client.sendall(b"ada@example.org\r\nMAIL FROM:<ada@example.org>\r\nQUIT\r\n")
        while client.recv(1000):
            pass
    log = own_receiver.log_text()
    assert [word for word in (address.partition("@")[0], RECIPIENT, "example", "5.1.1") if word in log] == []


def test_the_service_manager_is_notified_once_the_receiver_listens(new_database: Database) -> None:
    with supervisor() as manager, running_receiver(new_database, **manager.environment()) as receiver:
        manager.wait_for("READY=1")
        assert receiver.deliver(BOUNCE, bounce_address(some_id())) == TAKEN
        manager.wait_for("WATCHDOG=1", count=2)
        receiver.process.terminate()
        manager.wait_for("STOPPING=1")
        assert receiver.process.wait(30) == 0


def test_an_address_that_is_taken_ends_the_start(database: Database, receiver: RunningReceiver) -> None:
    with running_receiver(database, port=receiver.port) as second:
        assert second.process.wait(30) == 1
        assert second.log_lines()[-1]["event"] == "receiver cannot listen"


def test_without_a_source_of_bounces_the_start_ends(new_database: Database) -> None:
    with running(("signpost-receiver", "bounces"), receiver_environment(new_database)) as started:
        assert started.process.wait(30) == 2
        assert started.log_text() == "settings: neither BOUNCE_LMTP_BIND nor BOUNCE_IMAP_URL is set\n"


def test_a_unix_socket_serves_as_well(new_database: Database, tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    environment = receiver_environment(new_database, BOUNCE_LMTP_BIND=str(path))
    with running(("signpost-receiver", "bounces"), environment) as started:
        eventually(lambda: "receiver started" in started.log_text())
        with smtplib.LMTP(str(path), 0) as client:
            client.sendmail("", bounce_address(some_id()), BOUNCE)
    assert len(reports(new_database)) == 1


def test_the_role_of_a_receiver_can_neither_read_nor_change_anything(new_database: Database) -> None:
    url = receiver_environment(new_database)["DATABASE_URL"].replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            "select * from delivery_reports",
            "delete from delivery_reports",
            "update delivery_reports set applied_at = now()",
            "select * from outbox_messages",
            "select * from users",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
