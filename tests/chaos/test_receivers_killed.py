"""Kill the receiver of callbacks again and again while gateways call it: an acknowledged receipt is never lost."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event, Lock
from uuid import UUID

import httpx

from shared.ids import uuid7
from shared.reports.return_paths import Gateway
from tests.support.callbacks import path_for, reports, running_receiver
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.forwarding import unused_port

GATEWAYS = 8
KILLS = 4
BETWEEN_KILLS = 200


class Acknowledged:
    """The messages whose receipts were acknowledged, and how many calls got no acknowledgement."""

    def __init__(self) -> None:
        self.messages: set[UUID] = set()
        self.unanswered = 0
        self._lock = Lock()

    def note(self, message_id: UUID, *, is_acknowledged: bool) -> None:
        with self._lock:
            if is_acknowledged:
                self.messages.add(message_id)
            else:
                self.unanswered += 1


def call_until(stopping: Event, base_url: str, acknowledged: Acknowledged) -> None:
    """Report one message after the other, as a gateway that gives up at the first error."""
    with httpx.Client(base_url=base_url, timeout=10) as client:
        while not stopping.is_set():
            message_id, is_acknowledged = uuid7(), False
            with suppress(httpx.TransportError):
                path = path_for(Gateway.JSON, message_id)
                is_acknowledged = client.post(path, json={"status": "delivered"}).is_success
            acknowledged.note(message_id, is_acknowledged=is_acknowledged)
            if not is_acknowledged:
                stopping.wait(0.02)  # nothing listens


def test_no_acknowledged_receipt_is_lost_when_the_receiver_is_killed(database: Database) -> None:
    acknowledged, stopping, port = Acknowledged(), Event(), unused_port()
    with ThreadPoolExecutor(GATEWAYS) as gateways:
        try:
            for _ in range(GATEWAYS):
                gateways.submit(call_until, stopping, f"http://127.0.0.1:{port}", acknowledged)
            for kill in range(1, KILLS + 1):
                with running_receiver(database, bind=f"127.0.0.1:{port}") as receiver:
                    enough = kill * BETWEEN_KILLS
                    eventually(lambda enough=enough: len(acknowledged.messages) >= enough, seconds=60)
                    for pid in receiver.children():
                        kill_now(pid)
                    receiver.process.kill()
        finally:
            stopping.set()
    stored = {message_id for (message_id,) in reports(database, "message_id")}
    assert acknowledged.unanswered > 0
    assert acknowledged.messages <= stored
    assert len(reports(database, "id")) == len(stored)


def kill_now(pid: int) -> None:
    """Kill a worker, as a power cut would."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
