"""SIGHUP: the relay reads settings from files again, without effect on messages in flight."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink, mail_sink
from tests.support.outbox import Outbox
from tests.support.relays import RunningRelay, running_relay
from tests.support.service_manager import supervisor

GAUGES = ("signpost_breaker_open", "signpost_rate_wait")
EXPIRED_LEASES = "select count(*) from outbox_messages where lost_leases > 0"


@pytest.fixture
def other_sink() -> Iterator[MailSink]:
    with mail_sink() as sink:
        yield sink


def reload(relay: RunningRelay) -> None:
    relay.process.send_signal(signal.SIGHUP)


def test_each_message_is_sent_once_while_a_reload_changes_the_provider(
    outbox: Outbox, sink: MailSink, other_sink: MailSink, tmp_path: Path
) -> None:
    providers = tmp_path / "providers"
    providers.write_text(sink.provider)
    ids = outbox.put(count=200)
    sink.hold()
    settings = {"EMAIL_PROVIDERS_FILE": str(providers), "RELAY_BATCH_SIZE": "50", "RELAY_CONNECTIONS": "2"}
    with running_relay(outbox.database, **settings) as relay:
        eventually(lambda: sink.connections)
        providers.write_text(other_sink.provider)
        reload(relay)
        eventually(lambda: relay.logged("relay reloading"))
        sink.release()
        ids += outbox.put(count=200)
        eventually(outbox.is_all_sent)
        assert len(relay.logged("relay reloaded")) == 1
        relay.wait_until_ready()
    arrived = sink.arrived + other_sink.arrived
    assert arrived == {f"{message_id}@signpost.example": 1 for message_id in ids}
    assert sink.arrived.total() <= 50 + 50
    assert outbox.number(EXPIRED_LEASES) == 0


def test_a_removed_provider_disappears_from_metrics_although_it_was_down(
    outbox: Outbox, sink: MailSink, tmp_path: Path
) -> None:
    providers = tmp_path / "providers"
    providers.write_text("smtp://127.0.0.1:1?tls=none&rate=10/s")
    outbox.put()
    with running_relay(outbox.database, EMAIL_PROVIDERS_FILE=str(providers)) as relay:
        eventually(lambda: 'signpost_breaker_open{provider="smtp:127.0.0.1:1"} 1.0' in relay.get("/metrics").text)
        providers.write_text(sink.provider)
        reload(relay)
        eventually(outbox.is_all_sent)
        metrics = relay.get("/metrics").text
    assert f'signpost_breaker_open{{provider="smtp:127.0.0.1:{sink.port}"}} 0.0' in metrics
    assert not [line for line in metrics.splitlines() if line.startswith(GAUGES) and '127.0.0.1:1"' in line]


def test_invalid_settings_are_rejected_with_all_errors_and_the_old_ones_stay_in_use(
    outbox: Outbox, sink: MailSink, tmp_path: Path
) -> None:
    providers, keys = tmp_path / "providers", tmp_path / "keys"
    providers.write_text(sink.provider)
    keys.write_text(relay_keys := "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    files = {"EMAIL_PROVIDERS_FILE": str(providers), "SECRET_KEYS_FILE": str(keys), "SECRET_KEYS": ""}
    with supervisor() as manager, running_relay(outbox.database, **files, **manager.environment()) as relay:
        manager.wait_for("READY=1")
        providers.write_text("carrier-pigeon://loft")
        keys.write_text("one:two")
        reload(relay)
        manager.wait_for("RELOADING=1")
        eventually(lambda: "READY=1" in manager.notifications_after("RELOADING=1"))
        faults = " ".join(line["error"] for line in relay.logged("settings refused"))
        assert "EMAIL_PROVIDERS" in faults
        assert "SECRET_KEYS" in faults
        outbox.put(count=5)
        eventually(outbox.is_all_sent)
        providers.write_text(sink.provider)
        keys.write_text(relay_keys)
        reload(relay)
        eventually(lambda: relay.logged("relay reloaded"))
        manager.wait_for("READY=1", count=3)
        assert manager.notifications_after("RELOADING=1")[0].startswith("MONOTONIC_USEC=")


def test_messages_that_wait_for_a_key_are_sent_after_a_reload_adds_it(
    outbox: Outbox, sink: MailSink, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("other:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    [message_id] = outbox.put()
    files = {"SECRET_KEYS_FILE": str(keys), "SECRET_KEYS": "", "EMAIL_PROVIDERS": sink.provider}
    with running_relay(outbox.database, **files) as relay:
        eventually(lambda: relay.logged("key missing"))
        keys.write_text("test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
        reload(relay)
        eventually(lambda: relay.logged("relay reloaded"))
        eventually(lambda: outbox.row(message_id).lease_token is None)
        outbox.execute("update outbox_messages set due_at = now()")
        eventually(outbox.is_all_sent)


def test_outcomes_not_yet_settled_survive_a_reload_during_a_database_outage(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=20)
    sink.hold()
    # The shortest allowed stopping time: a relay that did not wait would have exited by then.
    settings = {"RELAY_SEND_SECONDS": "1", "RELAY_LEASE_SECONDS": "3", "EMAIL_PROVIDERS": sink.provider}
    with running_relay(outbox.database, **settings) as relay:
        eventually(lambda: sink.connections)
        outbox.execute("alter role relay nologin")
        try:
            outbox.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
            sink.release()
            eventually(lambda: sink.arrived.total() > 0)
            reload(relay)
            eventually(lambda: relay.logged("relay reloading"))
            outbox.execute("select pg_sleep(4)")  # longer than the stopping time, by the database's clock
        finally:
            outbox.execute("alter role relay login")
        eventually(outbox.is_all_sent)
        assert relay.logged("relay stopped with messages unsettled") == []
    assert set(sink.arrived.values()) == {1}
