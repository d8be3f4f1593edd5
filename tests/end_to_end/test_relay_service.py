"""A relay under systemd: readiness, watchdog and stop notifications."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.eventually import eventually
from tests.support.gates import wait_until_blocked
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.processes import running
from tests.support.relays import RunningRelay, relay_environment, running_relay
from tests.support.service_manager import Supervisor, supervisor

pytestmark = pytest.mark.slow

ALIVE = "WATCHDOG=1"

BLOCKING_ONCE = """
import os, time
from outbox_relay.rendering.renderer import Renderer
from shared.host import ServiceManager
render, manager = Renderer.render, ServiceManager(os.environ)
def block(self, message):
    manager.notify("X_BLOCKED=1")
    time.sleep(1)
    manager.notify("X_RELEASED=1")
    return render(self, message)
Renderer.render = block
"""

BLOCKED_SETTLEMENTS = """
import asyncio
from datetime import timedelta
from outbox_relay.supervision import stall_detector as watch
from outbox_relay.outbox.settle import SettlementStore
async def settle(self, settlements, **_options):
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
    """Run a relay with a defect that the test injects."""
    code = f"{fault}\nfrom outbox_relay.cli import main\nmain(['run'])"
    with running([sys.executable, "-c", code], relay_environment(outbox.database, **settings)) as started:
        yield RunningRelay(started.process, started.log_path)


def test_the_relay_notifies_readiness_watchdog_pings_and_stopping(
    outbox: Outbox, sink: MailSink, manager: Supervisor
) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, **manager.environment()) as relay:
        manager.wait_for("READY=1")
        manager.wait_for(ALIVE, count=5)
        manager.wait_for("STATUS=Claiming; 0 messages in progress")
        sink.hold()
        outbox.put(count=3)
        manager.wait_for("STATUS=Claiming; 3 messages in progress")
        relay.process.terminate()
        manager.wait_for("STOPPING=1")
        manager.wait_for("STATUS=Stopping; ")
        sink.release()
        assert relay.process.wait(30) == 0
    assert manager.notifications.count("READY=1") == 1


@pytest.mark.parametrize("option", ["", "&rate=14/s"], ids=["any rate", "limited rate"])
def test_a_relay_without_its_database_starts_and_reports_that_it_waits(
    option: str, outbox: Outbox, sink: MailSink, manager: Supervisor
) -> None:
    outbox.execute("alter role relay nologin")
    try:
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider + option, **manager.environment()) as relay:
            manager.wait_for("READY=1")
            manager.wait_for("STATUS=Waiting for the database since ")
            manager.wait_for(ALIVE, count=5)
            assert (relay.get("/readyz").status_code, relay.logged("relay claiming")) == (503, [])
            outbox.execute("alter role relay login")
            manager.wait_for("STATUS=Claiming; 0 messages in progress")
            relay.wait_until_ready()
            assert len(relay.logged("relay claiming")) == 1
    finally:
        outbox.execute("alter role relay login")


def test_a_relay_that_cannot_read_its_providers_states_reports_that_it_claims(
    outbox: Outbox, sink: MailSink, manager: Supervisor
) -> None:
    outbox.put()
    with outbox.database.connect() as owner, owner.transaction():
        owner.execute("lock table providers in access exclusive mode")
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, **manager.environment()):
            eventually(outbox.is_all_sent)
            manager.wait_for("STATUS=Claiming; 0 messages in progress")


def test_a_relay_with_a_blocked_event_loop_sends_no_watchdog_ping(
    outbox: Outbox, sink: MailSink, manager: Supervisor
) -> None:
    with broken_relay(outbox, BLOCKING_ONCE, EMAIL_PROVIDERS=sink.provider, **manager.environment()):
        manager.wait_for(ALIVE)
        outbox.put()
        manager.wait_for("X_RELEASED=1")
        blocked, released = manager.notifications.index("X_BLOCKED=1"), manager.notifications.index("X_RELEASED=1")
        assert ALIVE not in manager.notifications[blocked:released]
        eventually(lambda: ALIVE in manager.notifications_after("X_RELEASED=1"))


def test_a_relay_sends_no_watchdog_ping_while_a_consumer_makes_no_progress(
    outbox: Outbox, sink: MailSink, manager: Supervisor
) -> None:
    settings = {"EMAIL_PROVIDERS": sink.provider, "RELAY_SEND_SECONDS": "1"}
    with broken_relay(outbox, BLOCKED_SETTLEMENTS, **settings, **manager.environment()) as relay:
        manager.wait_for(ALIVE)
        outbox.put(count=2)
        eventually(lambda: relay.logged("relay stuck"))
        pings = manager.notifications.count(ALIVE)
        received = len(manager.notifications)
        eventually(lambda: len(manager.notifications) >= received + 10)
        assert manager.notifications.count(ALIVE) <= pings + 1  # one may have been in transit
        assert len(relay.logged("relay stuck")) == 1


def test_a_relay_ignores_watchdog_settings_for_another_process(
    outbox: Outbox, sink: MailSink, manager: Supervisor
) -> None:
    environment = manager.environment(ping_microseconds=1) | {"WATCHDOG_PID": str(os.getpid())}
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, **environment):
        manager.wait_for("READY=1")
        assert manager.notifications.count(ALIVE) == 1


def test_stopping_during_maintenance_is_no_error(outbox: Outbox, sink: MailSink) -> None:
    with outbox.database.connect() as owner, owner.transaction():
        owner.execute("lock table sessions in access exclusive mode")
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
            wait_until_blocked(outbox.database, "maintenance")
            relay.process.terminate()
            assert relay.process.wait(timeout=30) == 0
            assert relay.logged("relay stopped")
            assert [line for line in relay.log_lines() if line["level"] != "info"] == []
