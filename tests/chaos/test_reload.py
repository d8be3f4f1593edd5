"""SIGHUP: settings that come from files are read again, and no message notices."""

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


def test_a_provider_is_changed_while_messages_flow_and_each_goes_out_once(
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
        eventually(lambda: relay.said("relay stopping"))
        sink.release()
        ids += outbox.put(count=200)
        eventually(outbox.is_all_sent)
        assert len(relay.said("relay reloaded")) == 1
        relay.wait_until_ready()
    arrived = sink.arrived + other_sink.arrived
    assert arrived == {f"{message_id}@signpost.example": 1 for message_id in ids}
    assert sink.arrived.total() <= 50 + 50
    assert outbox.number(EXPIRED_LEASES) == 0


def test_a_provider_that_was_down_and_is_taken_out_is_told_of_no_more(
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


def test_wrong_settings_are_refused_each_fault_is_said_and_the_old_ones_go_on(
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
        eventually(lambda: "READY=1" in manager.told_after("RELOADING=1"))
        faults = " ".join(line["fault"] for line in relay.said("settings refused"))
        assert "EMAIL_PROVIDERS" in faults
        assert "SECRET_KEYS" in faults
        outbox.put(count=5)
        eventually(outbox.is_all_sent)
        providers.write_text(sink.provider)
        keys.write_text(relay_keys)
        reload(relay)
        eventually(lambda: relay.said("relay reloaded"))
        manager.wait_for("READY=1", count=3)
        assert manager.told_after("RELOADING=1")[0].startswith("MONOTONIC_USEC=")


def test_a_key_that_messages_wait_for_comes_with_a_reload(outbox: Outbox, sink: MailSink, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("other:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    [message_id] = outbox.put()
    files = {"SECRET_KEYS_FILE": str(keys), "SECRET_KEYS": "", "EMAIL_PROVIDERS": sink.provider}
    with running_relay(outbox.database, **files) as relay:
        eventually(lambda: relay.said("key missing"))
        keys.write_text("test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
        reload(relay)
        eventually(lambda: relay.said("relay reloaded"))
        eventually(lambda: outbox.row(message_id).lease_token is None)
        outbox.execute("update outbox_messages set due_at = now()")
        eventually(outbox.is_all_sent)


def test_what_was_sent_while_the_database_is_away_survives_a_reload(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=20)
    sink.hold()
    # The shortest stopping time that there is: within it, a relay that left would have given up.
    settings = {"RELAY_SEND_SECONDS": "1", "RELAY_LEASE_SECONDS": "3", "EMAIL_PROVIDERS": sink.provider}
    with running_relay(outbox.database, **settings) as relay:
        eventually(lambda: sink.connections)
        outbox.execute("alter role relay nologin")
        try:
            outbox.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
            sink.release()
            eventually(lambda: sink.arrived.total() > 0)
            reload(relay)
            eventually(lambda: relay.said("relay stopping"))
            outbox.execute("select pg_sleep(4)")  # longer than the stopping time, on the database's clock
        finally:
            outbox.execute("alter role relay login")
        eventually(outbox.is_all_sent)
        assert relay.said("relay stopped with messages unsettled") == []
    assert set(sink.arrived.values()) == {1}
