"""The relay as a process: what it survives, and how it stops."""

from contextlib import ExitStack

import pytest

from tests.support.databases import execute
from tests.support.eventually import eventually
from tests.support.forwarding import forwarding, unused_port
from tests.support.mail_sink import MailSink
from tests.support.outbox import IN_FLIGHT, UNSETTLED, Outbox
from tests.support.relays import running_relay

pytestmark = pytest.mark.slow


def test_sigterm_finishes_what_is_in_flight_and_hands_back_the_rest(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=50)
    sink.hold()
    settings = {"EMAIL_PROVIDERS": sink.provider, "RELAY_CONNECTIONS": "1"}
    with running_relay(outbox.database, **settings) as relay:
        eventually(lambda: outbox.number(IN_FLIGHT) == 50, seconds=30)
        eventually(lambda: sink.connections == 1, seconds=30)
        relay.process.terminate()
        eventually(lambda: bool(relay.said("relay stopping")), seconds=30)
        sink.release()
        assert relay.process.wait(10) == 0
    assert outbox.number(IN_FLIGHT) == 0
    assert outbox.number("select count(*) from outbox_messages where attempt > 1 or lost_leases > 0") == 0
    sent = outbox.number("select count(*) from outbox_messages where status = 'sent'")
    assert (sink.arrived.total(), outbox.number(UNSETTLED)) == (sent, 50 - sent)


def test_an_absent_server_costs_no_message_anything(outbox: Outbox) -> None:
    outbox.put(count=30)
    with running_relay(outbox.database, EMAIL_PROVIDERS="smtp://127.0.0.1:1?tls=none") as relay:
        eventually(lambda: bool(relay.said("provider down")), seconds=30)
        eventually(lambda: outbox.number(IN_FLIGHT) == 0, seconds=30)
        assert outbox.number("select count(*) from outbox_messages where status = 'pending' and attempt = 0") == 30
        assert len(relay.said("provider down")) == 1


def test_an_outage_ends_and_the_oldest_go_first(outbox: Outbox, sink: MailSink) -> None:
    sink.hold()
    ids = outbox.put(count=5)
    settings = {"RELAY_SEND_SECONDS": "1", "RELAY_CONNECTIONS": "1", "RELAY_POLL_SECONDS": "300"}
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, **settings) as relay:
        eventually(lambda: bool(relay.said("provider down")), seconds=30)
        sink.release()
        eventually(outbox.is_all_sent, seconds=30)
        assert outbox.number("select max(attempt) from outbox_messages") == 1
    assert list(sink.arrived) == [f"{message_id}@signpost.example" for message_id in ids]


def test_a_provider_that_is_down_leaves_the_mail_to_the_next(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=50)
    ladder = f"smtp://127.0.0.1:1?tls=none,{sink.provider}"
    with running_relay(outbox.database, EMAIL_PROVIDERS=ladder, RELAY_POLL_SECONDS="300"):
        eventually(outbox.is_all_sent, seconds=30)
    assert outbox.number("select max(attempt) from outbox_messages") == 1


def test_recipients_that_the_server_turns_us_away_for_delay_nobody_else(outbox: Outbox, sink: MailSink) -> None:
    sink.refuse("spoilsport@example.org", "554 5.7.1 Relay access denied")
    outbox.put()
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, RELAY_POLL_SECONDS="300") as relay:
        eventually(outbox.is_all_sent, seconds=30)
        outbox.put(count=20, recipient="'spoilsport@example.org'")
        outbox.put(count=500)
        outbox.execute("select pg_notify('signpost_outbox', '')")
        eventually(lambda: sink.arrived.total() == 501, seconds=30)
        assert relay.said("provider down") == []


def test_a_database_that_was_read_only_for_a_while_is_worked_with_again(outbox: Outbox, sink: MailSink) -> None:
    name = outbox.database.name
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        relay.wait_until_ready()
        outbox.execute(f"alter database {name} set default_transaction_read_only = on")
        outbox.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
        eventually(lambda: bool(relay.said("database lost")), seconds=30)
        execute(outbox.database.cluster, f"alter database {name} reset all")
        outbox.put(count=5)
        eventually(outbox.is_all_sent, seconds=30)
        relay.wait_until_ready()


def test_the_relay_waits_for_a_database_that_is_not_there_yet(outbox: Outbox, sink: MailSink) -> None:
    outbox.put()
    outbox.execute("alter role relay nologin")
    try:
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
            eventually(lambda: bool(relay.said("database lost")), seconds=30)
            assert relay.get("/livez").status_code == 200
            response = relay.get("/readyz")
            assert (response.status_code, response.json()["missing"]) == (503, ["database"])
            outbox.execute("alter role relay login")
            eventually(outbox.is_all_sent, seconds=30)
            relay.wait_until_ready()
            assert len({line["purpose"] for line in relay.said("database lost")}) == len(relay.said("database lost"))
    finally:
        outbox.execute("alter role relay login")


def test_connections_cut_by_the_server_are_made_again(outbox: Outbox, sink: MailSink) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        relay.wait_until_ready()
        outbox.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
        outbox.put(count=10)
        eventually(outbox.is_all_sent, seconds=30)


def test_a_server_without_a_connection_to_spare_is_waited_for(outbox: Outbox, sink: MailSink) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        relay.wait_until_ready()
        outbox.execute("alter role relay connection limit 0")
        try:
            outbox.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
            eventually(lambda: len(relay.said("database lost")) >= 2)
        finally:
            outbox.execute("alter role relay connection limit -1")
        outbox.put(count=10)
        eventually(outbox.is_all_sent)
        relay.wait_until_ready()
        lost = relay.said("database lost")
        assert len({line["purpose"] for line in lost}) == len(lost)


def test_a_fail_over_to_another_host_of_the_url_is_followed(outbox: Outbox, sink: MailSink) -> None:
    cluster, name = outbox.database.cluster, outbox.database.name
    first, second = unused_port(), unused_port()
    hosts = f"127.0.0.1:{first},127.0.0.1:{second}"
    settings = {"DATABASE_URL": f"postgresql+psycopg://relay@{hosts}/{name}", "EMAIL_PROVIDERS": sink.provider}
    with ExitStack() as first_host, running_relay(outbox.database, **settings) as relay:
        first_host.enter_context(forwarding(first, to=cluster.port))
        relay.wait_until_ready()
        first_host.close()
        eventually(lambda: relay.said("database lost"))
        with forwarding(second, to=cluster.port):
            outbox.put(count=10)
            eventually(outbox.is_all_sent)
            relay.wait_until_ready()
            # Its connections end here, before the port does.
            relay.kill()
