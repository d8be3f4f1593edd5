"""A relay process during outages of its database and providers, and its shutdown."""

from contextlib import ExitStack

import pytest

from tests.support.databases import execute
from tests.support.eventually import eventually
from tests.support.forwarding import forwarding, unused_port
from tests.support.mail_sink import MailSink
from tests.support.outbox import IN_FLIGHT, UNSETTLED, Outbox
from tests.support.relays import RunningRelay, running_relay

pytestmark = pytest.mark.slow

HAS_LOOKED = """
select pid from pg_stat_activity
 where application_name = 'outbox-relay look' and state = 'idle' and query ~ 'update relays'
"""


def test_sigterm_finishes_messages_in_flight_and_releases_the_rest(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=50)
    sink.hold()
    settings = {"EMAIL_PROVIDERS": sink.provider, "RELAY_CONNECTIONS": "1"}
    with running_relay(outbox.database, **settings) as relay:
        eventually(lambda: outbox.number(IN_FLIGHT) == 50, seconds=30)
        eventually(lambda: sink.connections == 1, seconds=30)
        relay.process.terminate()
        eventually(lambda: bool(relay.logged("relay stopping")), seconds=30)
        sink.release()
        assert relay.process.wait(10) == 0
    assert outbox.number(IN_FLIGHT) == 0
    assert outbox.number("select count(*) from outbox_messages where attempt > 1 or lost_leases > 0") == 0
    sent = outbox.number("select count(*) from outbox_messages where status = 'sent'")
    assert (sink.arrived.total(), outbox.number(UNSETTLED)) == (sent, 50 - sent)


def test_an_unreachable_server_costs_no_message_an_attempt(outbox: Outbox) -> None:
    outbox.put(count=30)
    with running_relay(outbox.database, EMAIL_PROVIDERS="smtp://127.0.0.1:1?tls=none") as relay:
        eventually(lambda: bool(relay.logged("provider down")), seconds=30)
        eventually(lambda: outbox.number(IN_FLIGHT) == 0, seconds=30)
        assert outbox.number("select count(*) from outbox_messages where status = 'pending' and attempt = 0") == 30
        [down] = relay.logged("provider down")
        assert down["error"].startswith("connection refused: ")


def test_the_oldest_messages_are_sent_first_after_an_outage(outbox: Outbox, sink: MailSink) -> None:
    sink.hold()
    ids = outbox.put(count=5)
    settings = {"RELAY_SEND_SECONDS": "1", "RELAY_CONNECTIONS": "1", "RELAY_POLL_SECONDS": "300"}
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, **settings) as relay:
        eventually(lambda: bool(relay.logged("provider down")), seconds=30)
        sink.release()
        eventually(outbox.is_all_sent, seconds=30)
        assert outbox.number("select max(attempt) from outbox_messages") == 1
    assert list(sink.arrived) == [f"{message_id}@signpost.example" for message_id in ids]


def test_the_next_provider_sends_the_mail_when_one_is_down(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=50)
    providers = f"smtp://127.0.0.1:1?tls=none,{sink.provider}"
    with running_relay(outbox.database, EMAIL_PROVIDERS=providers, RELAY_POLL_SECONDS="300"):
        eventually(outbox.is_all_sent, seconds=30)
    assert outbox.number("select max(attempt) from outbox_messages") == 1


HALF_OPEN_FOR_LONG = (
    "insert into providers (name, consecutive_opens, open_until, since)"
    " values (%s, 1, now() - interval '1 minute', now() - interval '2 minutes')"
)


def test_a_login_shows_that_a_server_is_back_when_no_message_waits(outbox: Outbox, sink: MailSink) -> None:
    outbox.execute(HALF_OPEN_FOR_LONG, f"smtp:127.0.0.1:{sink.port}")
    with ExitStack() as ending:
        relays = [ending.enter_context(running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider)) for _ in range(2)]
        eventually(lambda: outbox.number("select consecutive_opens from providers") == 0)
        for relay in relays:
            eventually(
                lambda relay=relay: (
                    f'signpost_breaker_open{{provider="smtp:127.0.0.1:{sink.port}"}} 0.0' in relay.get("/metrics").text
                )
            )
    assert sink.arrived.total() == 0


def test_a_login_shows_that_a_server_is_still_down_when_no_message_waits(outbox: Outbox) -> None:
    outbox.execute(HALF_OPEN_FOR_LONG, "smtp:127.0.0.1:1")
    with running_relay(outbox.database, EMAIL_PROVIDERS="smtp://127.0.0.1:1?tls=none"):
        eventually(lambda: outbox.number("select consecutive_opens from providers") >= 2)
    assert outbox.number("select count(*) from providers where last_failed_at > now() - interval '1 minute'") == 1


def test_deferred_recipients_delay_no_other_recipient(outbox: Outbox, sink: MailSink) -> None:
    sink.refuse("spoilsport@example.org", "554 5.7.1 Relay access denied")
    outbox.put()
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, RELAY_POLL_SECONDS="300") as relay:
        eventually(outbox.is_all_sent, seconds=30)
        outbox.put(count=20, recipient="'spoilsport@example.org'")
        outbox.put(count=500)
        outbox.execute("select pg_notify('signpost_outbox', '')")
        eventually(lambda: sink.arrived.total() == 501, seconds=30)
        assert relay.logged("provider down") == []


def test_the_relay_continues_after_the_database_was_read_only(outbox: Outbox, sink: MailSink) -> None:
    name = outbox.database.name
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        relay.wait_until_ready()
        outbox.execute(f"alter database {name} set default_transaction_read_only = on")
        outbox.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
        eventually(lambda: bool(relay.logged("database lost")), seconds=30)
        execute(outbox.database.cluster, f"alter database {name} reset all")
        outbox.put(count=5)
        eventually(outbox.is_all_sent, seconds=30)
        relay.wait_until_ready()


def test_the_relay_waits_for_an_unreachable_database_at_startup(outbox: Outbox, sink: MailSink) -> None:
    outbox.put()
    outbox.execute("alter role relay nologin")
    try:
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
            eventually(lambda: bool(relay.logged("database lost")), seconds=30)
            assert relay.get("/livez").status_code == 200
            response = relay.get("/readyz")
            assert (response.status_code, response.json()["missing"]) == (503, ["database"])
            outbox.execute("alter role relay login")
            eventually(outbox.is_all_sent, seconds=30)
            relay.wait_until_ready()
            assert len({line["purpose"] for line in relay.logged("database lost")}) == len(
                relay.logged("database lost")
            )
    finally:
        outbox.execute("alter role relay login")


def causes_of_loss(relay: RunningRelay) -> list[str | None]:
    return [line.get("cause") for line in relay.logged("database lost") if line["purpose"] == "look"]


def test_the_relay_logs_that_the_server_ended_its_session(outbox: Outbox, sink: MailSink) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        # A relay may be ready before its first poll, and ignores that a connection breaks before its first use.
        eventually(lambda: outbox.execute(HAS_LOOKED))
        outbox.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
        eventually(lambda: causes_of_loss(relay) == ["ended by the server"])
        eventually(lambda: [line for line in relay.logged("database found again") if line["purpose"] == "look"])


def test_the_relay_logs_that_the_network_closed_an_open_connection(outbox: Outbox, sink: MailSink) -> None:
    port, cluster = unused_port(), outbox.database.cluster
    settings = {"EMAIL_PROVIDERS": sink.provider, "DATABASE_URL": cluster.tcp_url(outbox.database.name, "relay", port)}
    with ExitStack() as network:
        network.enter_context(forwarding(port, to=cluster.port))
        with running_relay(outbox.database, **settings) as relay:
            eventually(lambda: outbox.execute(HAS_LOOKED))
            network.close()
            eventually(lambda: causes_of_loss(relay) == ["closed"])


def test_the_relay_replaces_connections_that_the_server_closed(outbox: Outbox, sink: MailSink) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        relay.wait_until_ready()
        outbox.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
        outbox.put(count=10)
        eventually(outbox.is_all_sent, seconds=30)


def test_the_relay_waits_while_the_server_has_no_free_connection(outbox: Outbox, sink: MailSink) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        relay.wait_until_ready()
        outbox.execute("alter role relay connection limit 0")
        try:
            outbox.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
            eventually(lambda: len(relay.logged("database lost")) >= 2)
        finally:
            outbox.execute("alter role relay connection limit -1")
        outbox.put(count=10)
        eventually(outbox.is_all_sent)
        relay.wait_until_ready()
        lost = relay.logged("database lost")
        assert len({line["purpose"] for line in lost}) == len(lost)


def test_the_relay_follows_a_failover_to_another_host_in_the_url(outbox: Outbox, sink: MailSink) -> None:
    cluster, name = outbox.database.cluster, outbox.database.name
    first, second = unused_port(), unused_port()
    hosts = f"127.0.0.1:{first},127.0.0.1:{second}"
    settings = {"DATABASE_URL": f"postgresql+psycopg://relay@{hosts}/{name}", "EMAIL_PROVIDERS": sink.provider}
    with ExitStack() as first_host, running_relay(outbox.database, **settings) as relay:
        first_host.enter_context(forwarding(first, to=cluster.port))
        relay.wait_until_ready()
        first_host.close()
        eventually(lambda: relay.logged("database lost"))
        with forwarding(second, to=cluster.port):
            outbox.put(count=10)
            eventually(outbox.is_all_sent)
            relay.wait_until_ready()
            # The relay's connections end here, before the port does.
            relay.kill()
