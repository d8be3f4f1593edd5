"""The relay as a process: what it delivers, what it survives, how it stops."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink, mail_sink
from tests.support.outbox import Outbox
from tests.support.relays import relay_once, running_relay

IN_FLIGHT = "select count(*) from outbox_messages where status = 'pending' and leased_until > now()"
UNSETTLED = "select count(*) from outbox_messages where status = 'pending'"


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


@pytest.fixture
def sink() -> Any:
    with mail_sink() as sink:
        yield sink


def provider(sink: MailSink) -> str:
    return f"smtp://127.0.0.1:{sink.port}?tls=none"


def number(outbox: Outbox, query: str) -> int:
    [(count,)] = outbox.execute(query)
    return int(count)


def all_sent(outbox: Outbox) -> bool:
    return number(outbox, "select count(*) from outbox_messages where status <> 'sent'") == 0


def test_a_message_goes_out_once_and_is_marked_sent(outbox: Outbox, sink: MailSink) -> None:
    [message_id] = outbox.put()
    with running_relay(outbox.database, EMAIL_PROVIDERS=provider(sink)) as relay:
        eventually(lambda: all_sent(outbox), seconds=30)
        [line] = relay.said("messages sent")
    assert sink.arrived == {f"{message_id}@signpost.example": 1}
    assert line["message_ids"] == [str(message_id)]


def test_a_notification_wakes_the_relay_long_before_its_poll(outbox: Outbox, sink: MailSink) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=provider(sink), RELAY_POLL_SECONDS="300") as relay:
        relay.wait_until_ready()
        eventually(lambda: listeners(outbox) == 1, seconds=30)
        outbox.put()
        outbox.execute("select pg_notify('signpost_outbox', '')")
        eventually(lambda: all_sent(outbox), seconds=30)


def listeners(outbox: Outbox) -> int:
    return number(outbox, "select count(*) from pg_stat_activity where query like 'listen %' and state = 'idle'")


def test_each_kill_costs_at_most_what_was_in_flight_and_loses_nothing(outbox: Outbox, sink: MailSink) -> None:
    ids = outbox.put(count=1000)
    settings = {
        "EMAIL_PROVIDERS": provider(sink),
        "RELAY_BATCH_SIZE": "20",
        "RELAY_LEASE_SECONDS": "3",
        "RELAY_SEND_SECONDS": "1",
        "RELAY_CONNECTIONS": "2",
    }
    in_flight = 0
    for kill in range(1, 5):
        with running_relay(outbox.database, **settings) as one, running_relay(outbox.database, **settings) as other:
            eventually(lambda kill=kill: len(sink.arrived) >= 200 * kill, seconds=30)
            one.kill()
            other.kill()
            in_flight += number(outbox, IN_FLIGHT)
    with running_relay(outbox.database, **settings), running_relay(outbox.database, **settings):
        eventually(lambda: all_sent(outbox), seconds=30)
    assert sink.arrived.keys() == {f"{message_id}@signpost.example" for message_id in ids}
    assert sink.arrived.total() - len(ids) <= in_flight
    assert number(outbox, "select count(*) from outbox_messages") == len(ids)


def test_sigterm_finishes_what_is_in_flight_and_hands_back_the_rest(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=50)
    sink.hold()
    settings = {"EMAIL_PROVIDERS": provider(sink), "RELAY_CONNECTIONS": "1"}
    with running_relay(outbox.database, **settings) as relay:
        eventually(lambda: number(outbox, IN_FLIGHT) == 50, seconds=30)
        eventually(lambda: sink.connections == 1, seconds=30)
        relay.process.terminate()
        eventually(lambda: bool(relay.said("relay stopping")), seconds=30)
        sink.release()
        assert relay.process.wait(10) == 0
    assert number(outbox, IN_FLIGHT) == 0
    assert number(outbox, "select count(*) from outbox_messages where attempt > 1 or expiries > 0") == 0
    sent = number(outbox, "select count(*) from outbox_messages where status = 'sent'")
    assert (sink.arrived.total(), number(outbox, UNSETTLED)) == (sent, 50 - sent)


def test_an_absent_server_costs_no_message_anything(outbox: Outbox) -> None:
    outbox.put(count=30)
    with running_relay(outbox.database, EMAIL_PROVIDERS="smtp://127.0.0.1:1?tls=none") as relay:
        eventually(lambda: bool(relay.said("provider down")), seconds=30)
        eventually(lambda: number(outbox, IN_FLIGHT) == 0, seconds=30)
        assert number(outbox, "select count(*) from outbox_messages where status = 'pending' and attempt = 0") == 30
        assert len(relay.said("provider down")) == 1


def test_an_outage_ends_and_the_oldest_go_first(outbox: Outbox, sink: MailSink) -> None:
    sink.hold()
    ids = outbox.put(count=5)
    settings = {"EMAIL_PROVIDERS": provider(sink), "RELAY_SEND_SECONDS": "1", "RELAY_CONNECTIONS": "1"}
    with running_relay(outbox.database, **settings) as relay:
        eventually(lambda: bool(relay.said("provider down")), seconds=30)
        sink.release()
        eventually(lambda: all_sent(outbox), seconds=30)
        assert number(outbox, "select max(attempt) from outbox_messages") == 1
    assert list(sink.arrived) == [f"{message_id}@signpost.example" for message_id in ids]


def test_what_expired_is_never_sent(outbox: Outbox, sink: MailSink) -> None:
    [message_id] = outbox.put(expires_at="now() - interval '1 second'")
    with running_relay(outbox.database, EMAIL_PROVIDERS=provider(sink)):
        eventually(lambda: outbox.row(message_id).status == "dead", seconds=30)
    assert outbox.row(message_id).dead_reason == "expired"
    assert sink.arrived == {}


def test_a_message_that_cannot_be_rendered_harms_no_neighbour(outbox: Outbox, sink: MailSink) -> None:
    [before] = outbox.put()
    [broken] = outbox.put(payload="'{}'")
    [shapeless] = outbox.put(payload="'[]'")
    [after] = outbox.put()
    with running_relay(outbox.database, EMAIL_PROVIDERS=provider(sink)):
        eventually(lambda: number(outbox, UNSETTLED) == 0, seconds=30)
    rows = [outbox.row(message_id) for message_id in (before, broken, shapeless, after)]
    assert [row.status for row in rows] == ["sent", "dead", "dead", "sent"]
    assert {row.last_error_class for row in rows[1:3]} == {"content"}


def test_a_message_whose_key_is_missing_waits_for_it_unharmed(outbox: Outbox, sink: MailSink) -> None:
    [message_id] = outbox.put(payload="""'{"name": null, "key_id": "of tomorrow"}'""")
    with running_relay(outbox.database, EMAIL_PROVIDERS=provider(sink)) as relay:
        eventually(lambda: relay.said("key missing"), seconds=30)
        eventually(lambda: outbox.row(message_id).lease_token is None, seconds=30)
    assert (outbox.row(message_id).status, outbox.row(message_id).attempt) == ("pending", 0)


def test_a_message_of_a_newer_release_waits_for_its_relay(outbox: Outbox, sink: MailSink) -> None:
    newer = [*outbox.put(template="'of_tomorrow'"), *outbox.put(locale="'eo'")]
    outbox.put(count=3)
    with running_relay(outbox.database, EMAIL_PROVIDERS=provider(sink)):
        eventually(lambda: number(outbox, UNSETTLED) == len(newer), seconds=30)
    assert [outbox.row(message_id).expiries for message_id in newer] == [0, 0]


def test_an_outcome_that_cannot_be_written_harms_no_neighbour(outbox: Outbox, sink: MailSink) -> None:
    [spoilt] = outbox.put(attempt="32767")  # the largest that its column takes
    outbox.put(count=20)
    with running_relay(outbox.database, EMAIL_PROVIDERS=provider(sink)) as relay:
        eventually(lambda: relay.said("outcome not written"), seconds=30)
        eventually(lambda: number(outbox, UNSETTLED) == 1, seconds=30)
        assert relay.said("outcome not written")[0]["message_id"] == str(spoilt)


def test_sms_and_mail_do_not_wait_for_each_other(outbox: Outbox, sink: MailSink, tmp_path: Path) -> None:
    sink.hold()
    outbox.put(count=10)
    [text] = outbox.put(channel="sms", recipient="'+33612345678'")
    with running_relay(outbox.database, EMAIL_PROVIDERS=provider(sink), SMS_PROVIDERS=f"file://{tmp_path}"):
        eventually(lambda: outbox.row(text).status == "sent", seconds=30)
    assert [path.name for path in tmp_path.iterdir()] == [f"{text}.txt"]
    assert sink.arrived == {}


def test_the_relay_waits_for_a_database_that_is_not_there_yet(outbox: Outbox, sink: MailSink) -> None:
    outbox.put()
    outbox.execute("alter role relay nologin")
    try:
        with running_relay(outbox.database, EMAIL_PROVIDERS=provider(sink)) as relay:
            eventually(lambda: bool(relay.said("database lost")), seconds=30)
            assert relay.get("/livez").status_code == 200
            response = relay.get("/readyz")
            assert (response.status_code, response.json()["missing"]) == (503, ["database"])
            outbox.execute("alter role relay login")
            eventually(lambda: all_sent(outbox), seconds=30)
            relay.wait_until_ready()
            assert len({line["purpose"] for line in relay.said("database lost")}) == len(relay.said("database lost"))
    finally:
        outbox.execute("alter role relay login")


def test_connections_cut_by_the_server_are_made_again(outbox: Outbox, sink: MailSink) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=provider(sink)) as relay:
        relay.wait_until_ready()
        outbox.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'")
        outbox.put(count=10)
        eventually(lambda: all_sent(outbox), seconds=30)


def test_metrics_tell_what_was_settled(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=3)
    with running_relay(outbox.database, EMAIL_PROVIDERS=provider(sink)) as relay:
        eventually(lambda: all_sent(outbox), seconds=30)
        metrics = relay.get("/metrics").text
    labels = 'channel="email",dead_reason="",outcome="sent",template="activation"'
    assert f"signpost_messages_settled_total{{{labels}}} 3.0" in metrics
    for name in ("accept_latency_seconds_count", "delivery_duration_seconds_count", "backlog_messages", "breaker_open"):
        assert f"signpost_{name}{{" in metrics


def test_once_delivers_what_is_due_and_leaves(outbox: Outbox, sink: MailSink) -> None:
    ids = outbox.put(count=30)
    outbox.put(due_at="now() + interval '1 hour'")
    assert relay_once(outbox.database, EMAIL_PROVIDERS=provider(sink), RELAY_BATCH_SIZE="10") == 0
    assert sink.arrived.total() == len(ids)
    assert number(outbox, UNSETTLED) == 1


def test_once_says_when_the_provider_was_down(outbox: Outbox) -> None:
    outbox.put()
    assert relay_once(outbox.database, EMAIL_PROVIDERS="smtp://127.0.0.1:1?tls=none") == 1
    assert number(outbox, "select count(*) from outbox_messages where attempt = 0 and status = 'pending'") == 1


def test_a_port_that_is_taken_is_said_and_ends_it(outbox: Outbox, sink: MailSink) -> None:
    settings = {"EMAIL_PROVIDERS": provider(sink), "RELAY_BIND": f"127.0.0.1:{sink.port}"}
    with running_relay(outbox.database, **settings) as relay:
        assert relay.process.wait(10) == 1
        assert relay.said("relay cannot listen")
