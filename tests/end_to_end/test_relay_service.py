"""The relay under a service manager: when it is ready, that it moves, and that it is about to stop."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.eventually import eventually
from tests.support.gates import wait_until_held_up
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.processes import running
from tests.support.relays import RunningRelay, relay_environment, running_relay
from tests.support.service_manager import Supervisor, supervisor

pytestmark = pytest.mark.slow

ALIVE = "WATCHDOG=1"

BLOCKING_ONCE = """
import os, time
from outbox_relay.rendering import Renderer
from outbox_relay.supervision.watchdog import ServiceManager
render, manager = Renderer.render, ServiceManager(os.environ)
def block(self, message):
    manager.notify("X_BLOCKED=1")
    time.sleep(1)
    manager.notify("X_RELEASED=1")
    return render(self, message)
Renderer.render = block
"""

SETTLING_NOTHING = """
import asyncio
from datetime import timedelta
from outbox_relay.supervision import stall_detector as watch
from outbox_relay.outbox.settle import SettlementStore
async def settle(self, settlements):
    await asyncio.Event().wait()
SettlementStore.settle = settle
watch.TRY_MARGIN = timedelta(seconds=1)
"""


@pytest.fixture
def manager() -> Iterator[Supervisor]:
    with supervisor() as listening:
        yield listening


@contextmanager
def broken_relay(outbox: Outbox, fault: str, **settings: str) -> Iterator[RunningRelay]:
    """Run a relay with a fault of the test's in it."""
    code = f"{fault}\nfrom outbox_relay.cli import main\nmain(['run'])"
    with running([sys.executable, "-c", code], relay_environment(outbox.database, **settings)) as started:
        yield RunningRelay(started.process, started.log_path)


def test_it_is_ready_when_it_claims_proves_that_it_lives_and_says_that_it_stops(
    outbox: Outbox, sink: MailSink, manager: Supervisor
) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, **manager.environment()) as relay:
        manager.wait_for("READY=1")
        manager.wait_for(ALIVE, count=5)
        manager.wait_for("STATUS=Claiming; 0 in hand")
        sink.hold()
        outbox.put(count=3)
        manager.wait_for("STATUS=Claiming; 3 in hand")
        relay.process.terminate()
        manager.wait_for("STOPPING=1")
        manager.wait_for("STATUS=Stopping; ")
        sink.release()
        assert relay.process.wait(30) == 0
    assert manager.facts.count("READY=1") == 1


def test_it_waits_for_its_database_unready_and_alive(outbox: Outbox, sink: MailSink, manager: Supervisor) -> None:
    outbox.execute("alter role relay nologin")
    try:
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, **manager.environment()):
            manager.wait_for("STATUS=Starting, database lost since ")
            manager.wait_for(ALIVE, count=5)
            assert "READY=1" not in manager.facts
            outbox.execute("alter role relay login")
            manager.wait_for("READY=1")
            manager.wait_for("STATUS=Claiming; 0 in hand")
    finally:
        outbox.execute("alter role relay login")


def test_it_proves_nothing_while_its_loop_is_blocked(outbox: Outbox, sink: MailSink, manager: Supervisor) -> None:
    with broken_relay(outbox, BLOCKING_ONCE, EMAIL_PROVIDERS=sink.provider, **manager.environment()):
        manager.wait_for(ALIVE)
        outbox.put()
        manager.wait_for("X_RELEASED=1")
        blocked, released = manager.facts.index("X_BLOCKED=1"), manager.facts.index("X_RELEASED=1")
        assert ALIVE not in manager.facts[blocked:released]
        eventually(lambda: ALIVE in manager.told_after("X_RELEASED=1"))


def test_the_watchdog_is_silent_while_a_consumer_holds_messages_without_progress(
    outbox: Outbox, sink: MailSink, manager: Supervisor
) -> None:
    settings = {"EMAIL_PROVIDERS": sink.provider, "RELAY_SEND_SECONDS": "1"}
    with broken_relay(outbox, SETTLING_NOTHING, **settings, **manager.environment()) as relay:
        manager.wait_for(ALIVE)
        outbox.put(count=2)
        eventually(lambda: relay.said("relay stuck"))
        proofs = manager.facts.count(ALIVE)
        beats = len(manager.facts)
        eventually(lambda: len(manager.facts) >= beats + 10)
        assert manager.facts.count(ALIVE) <= proofs + 1  # one may have been on its way
        assert len(relay.said("relay stuck")) == 1


def test_a_watchdog_that_is_meant_for_another_process_changes_nothing(
    outbox: Outbox, sink: MailSink, manager: Supervisor
) -> None:
    told = manager.environment(beat_microseconds=1) | {"WATCHDOG_PID": str(os.getpid())}
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, **told):
        manager.wait_for("READY=1")
        assert manager.facts.count(ALIVE) == 1


def test_ending_amid_a_turn_of_maintenance_is_no_fault(outbox: Outbox, sink: MailSink) -> None:
    with outbox.database.connect() as owner, owner.transaction():
        owner.execute("lock table sessions in access exclusive mode")
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
            wait_until_held_up(outbox.database, "maintenance")
            relay.process.terminate()
            assert relay.process.wait(timeout=30) == 0
            assert relay.said("relay stopped")
            assert [line for line in relay.log_lines() if line["level"] != "info"] == []
