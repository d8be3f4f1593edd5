"""Lose the primary for good and promote its standby: relays and API continue there without a restart."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from tests.support import plain_http
from tests.support.api import PASSWORD
from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.processes import HASTY_API, Running, RunningApi, running_api
from tests.support.relay_group import relay_group
from tests.support.standby import primary_and_standby, url_of_both

MESSAGES = 600
PAUSE_SECONDS = 0.05
"""The pause between two registrations."""
MESSAGES_OF = "select id from outbox_messages where recipient = any(%s)"


@dataclass
class Registrations:
    """Registers one address after another, and records which ones the API confirmed."""

    api: RunningApi
    confirmed: list[UUID] = field(default_factory=list)
    unconfirmed: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.is_over.wait(PAUSE_SECONDS):
            email = f"ada{len(self.confirmed) + len(self.unconfirmed)}@example.org"
            if registration_id := self._register(email):
                self.confirmed.append(registration_id)
            else:
                self.unconfirmed.append(email)

    def _register(self, email: str) -> UUID | None:
        with suppress(httpx.TransportError):
            body = {"email": email, "password": PASSWORD}
            response = plain_http.post(f"{self.api.base_url}/v1/registrations", json=body, timeout=30)
            return UUID(response.json()["id"]) if response.status_code == 202 else None
        return None


def test_relays_and_api_continue_on_the_promoted_standby(sink: MailSink) -> None:
    with primary_and_standby("signpost") as (first, second):
        ledger, outbox = Ledger(first), Outbox(second)
        ledger.enqueue(MESSAGES, rolled_back=50)
        sink.reply_seconds = 0.04
        for_relays = {"DATABASE_URL": url_of_both(first, second, "relay"), "EMAIL_PROVIDERS": sink.provider}
        with (
            relay_group(2, first, **for_relays) as group,
            running_api(first, command=HASTY_API, DATABASE_URL=url_of_both(first, second, "api")) as api,
        ):
            with registering(api) as registrations:
                eventually(lambda: sink.arrived.total() >= MESSAGES / 4 and len(registrations.confirmed) >= 5)
                first.cluster.stop("immediate")
                second.cluster.promote()
                ledger.database = second
                ledger.note_crash()
                before = len(registrations.confirmed)
                eventually(lambda: len(registrations.confirmed) >= before + 5)
            sink.reply_seconds = 0
            eventually(outbox.is_all_sent, seconds=60)
            assert_logged_once(api, *group.relays)
        ledger.registered(registrations.confirmed)
        ledger.uncertain |= {message_id for (message_id,) in outbox.execute(MESSAGES_OF, registrations.unconfirmed)}
        tally = conserved(ledger, sink)
        assert (tally.dead, tally.pending, tally.poisoned) == (0, 0, 0)
        assert tally.sent >= MESSAGES + len(registrations.confirmed)


def assert_logged_once(*services: Running) -> None:
    for service in services:
        # A service that polls every few seconds finds the database later than the others.
        eventually(lambda service=service: not still_lost(service))
        for event in ("database lost", "database found again"):
            logged = purposes(service, event)
            assert logged
            assert logged == sorted(set(logged))


def still_lost(service: Running) -> set[str]:
    """Return the purposes whose connection has not recovered."""
    return set(purposes(service, "database lost")) - set(purposes(service, "database found again"))


def purposes(service: Running, event: str) -> list[str]:
    """Return the purposes with which the service logged the event, in alphabetical order."""
    return sorted(line["purpose"] for line in service.log_lines() if line["event"] == event)


@contextmanager
def registering(api: RunningApi) -> Iterator[Registrations]:
    """Register new addresses until the block ends."""
    registrations = Registrations(api)
    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(registrations.run)
        try:
            yield registrations
        finally:
            registrations.is_over.set()
        writing.result()
