"""Kill the receiver, and the leading relay amid applying reports, while receipts arrive: each is applied once."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from shared.reports.return_paths import Gateway, callback_url
from tests.support.api import ApiUnderTest, api_on
from tests.support.callbacks import BASE, FEEDBACK_KEY, FEEDBACK_KEYS, RunningReceiver, running_receiver
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.forwarding import unused_port
from tests.support.gates import GATE, WAITS_AT_GATE, end_sessions, wait_until_blocked, wait_until_sessions_end
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

KILLS = 3
EACH = 30
"""New receipts for each kill."""
GATEWAYS = 4
PAUSE_SECONDS = 0.3
"""Shorter than the start of a receiver, so that some calls get no answer."""
SETTINGS = {
    "FEEDBACK_KEYS": FEEDBACK_KEYS,
    "RELAY_MAINTENANCE_SECONDS": "1",
    "EMAIL_PROVIDERS": "console:",
    "SMS_PROVIDERS": "console:",
}
END_LEASE = "update leader_lease set leased_until = now()"
NO_LIMITS = {"SMS_FALLBACK_PER_PREFIX": "1000", "SMS_FALLBACK_TOTAL": "1000"}

# The transaction that applies a report counts it, and waits at the gate after its first effects.
WATCHED = (
    "create table applications (report_id uuid)",
    (
        "create function count_application() returns trigger language plpgsql as"
        " $$ begin insert into applications values (new.id); return new; end $$"
    ),
    (
        "create trigger counted after update of applied_at on delivery_reports for each row"
        " when (new.applied_at is not null) execute function count_application()"
    ),
    WAITS_AT_GATE,
    "create trigger gate before insert on suppressions for each row execute function wait_at_gate()",
)
APPLIED = "select report_id, count(*) from applications group by report_id"
STATES = "select message_id from delivery_states where state = 'bounced'"
STRIKES = "select strikes from suppressions"
TEXTS = "select fallback_of from outbox_messages where channel = 'sms'"


class Gateways:
    """They report each message as failed, again and again."""

    def __init__(self, port: int, paths: dict[UUID, str]) -> None:
        self.acknowledged: set[UUID] = set()
        self.unanswered = 0
        self.known = 0
        """How many messages they have news about."""
        self.stopping = Event()
        self._url = f"http://127.0.0.1:{port}"
        self._paths = list(paths.items())

    def send(self, share: int) -> None:
        """Send one gateway's share of the receipts until the end."""
        with httpx.Client(base_url=self._url, timeout=10) as client:
            while not self.stopping.wait(PAUSE_SECONDS):
                for message_id, path in self._paths[share : self.known : GATEWAYS]:
                    with suppress(httpx.TransportError):
                        receipt = {"status": "failed", "code": "invalid_recipient"}
                        if client.post(path, json=receipt).is_success:
                            self.acknowledged.add(message_id)
                            continue
                    self.unanswered += 1


def sent_messages(api: ApiUnderTest, count: int) -> dict[UUID, str]:
    """Register users, and return the path for receipts of each one's message."""
    paths = {}
    for number in range(count):
        email = f"ada{number}@example.org"
        [message] = api.messages(api.registered(email=email, phone=f"+33612{number:06}"))
        paths[message.id] = urlsplit(callback_url(BASE, Gateway.JSON, message.id, email, FEEDBACK_KEY)).path
    api.rows("update outbox_messages set status = 'sent', settled_at = now()")
    return paths


@contextmanager
def gate_closed(database: Database) -> Iterator[None]:
    with database.connect() as owner, owner.transaction():
        owner.execute("select pg_advisory_xact_lock(%s)", [GATE])
        yield


@contextmanager
def sending(gateways: Gateways) -> Iterator[None]:
    with ThreadPoolExecutor(GATEWAYS) as threads:
        try:
            for share in range(GATEWAYS):
                threads.submit(gateways.send, share)
            yield
        finally:
            gateways.stopping.set()


def kill(receiver: RunningReceiver) -> None:
    for pid in receiver.children():
        os.kill(pid, signal.SIGKILL)
    receiver.process.kill()


def test_receipts_are_applied_once_when_the_receiver_and_the_leading_relay_are_killed(
    database: Database, outbox: Outbox
) -> None:
    for statement in WATCHED:
        outbox.execute(statement)
    with api_on(database, ACTIVATION_FALLBACK="sms") as api:
        paths = sent_messages(api, KILLS * EACH)
    port = unused_port()
    gateways = Gateways(port, paths)
    with sending(gateways):
        for number in range(KILLS):
            gateways.known += EACH
            with running_receiver(database, bind=f"127.0.0.1:{port}") as receiver, gate_closed(database):
                with running_relay(database, **SETTINGS, **NO_LIMITS) as relay:
                    wait_until_blocked(database, "count")
                    relay.kill()
                kill(receiver)
                if number % 2:
                    end_sessions(database)  # the server rolls back; otherwise, it completes what the dead relay began
            wait_until_sessions_end(database)
            outbox.execute(END_LEASE)
        with running_receiver(database, bind=f"127.0.0.1:{port}"), running_relay(database, **SETTINGS, **NO_LIMITS):
            eventually(lambda: gateways.acknowledged == set(paths), seconds=60)
            eventually(lambda: len(outbox.execute(STATES)) == len(paths), seconds=60)
            eventually(lambda: len(outbox.execute(TEXTS)) >= len(paths), seconds=60)
    assert gateways.unanswered > 0
    assert {count for _, count in outbox.execute(APPLIED)} == {1}
    assert {message_id for (message_id,) in outbox.execute(STATES)} == gateways.acknowledged
    assert outbox.execute(STRIKES) == [(1,)] * len(paths)
    assert sorted(outbox.execute(TEXTS)) == sorted((message_id,) for message_id in paths)
