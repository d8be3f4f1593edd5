"""A relay process: its deliveries, log, metrics and exit status."""

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.maintenance import put_old
from tests.support.outbox import UNSETTLED, Outbox
from tests.support.relays import relay_once, running_relay

pytestmark = pytest.mark.slow

WAITING_FOR_A_KEY = (
    "select count(*) from outbox_messages where status = 'pending' and attempt = 0 and lease_token is null"
    " and last_error_class = 'provider'"
)


def has_ipv6_loopback() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def test_a_message_is_sent_once_and_marked_sent(outbox: Outbox, sink: MailSink) -> None:
    [message_id] = outbox.put()
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(outbox.is_all_sent, seconds=30)
        [line] = eventually(lambda: relay.logged("messages sent"))  # logged after the commit
    assert sink.arrived == {f"{message_id}@signpost.example": 1}
    assert line["message_ids"] == [str(message_id)]


def test_a_notification_wakes_the_relay_before_its_next_poll(outbox: Outbox, sink: MailSink) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, RELAY_POLL_SECONDS="300") as relay:
        relay.wait_until_ready()
        eventually(lambda: listeners(outbox) == 1, seconds=30)
        outbox.put()
        outbox.execute("select pg_notify('signpost_outbox', '')")
        eventually(outbox.is_all_sent, seconds=30)


def listeners(outbox: Outbox) -> int:
    return outbox.number("select count(*) from pg_stat_activity where query like 'listen %' and state = 'idle'")


def test_an_expired_message_is_never_sent(outbox: Outbox, sink: MailSink) -> None:
    [message_id] = outbox.put(expires_at="now() - interval '1 second'")
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider):
        eventually(lambda: outbox.row(message_id).status == "dead", seconds=30)
    assert outbox.row(message_id).dead_reason == "expired"
    assert sink.arrived == {}


def test_a_message_that_cannot_be_rendered_harms_no_other_message(outbox: Outbox, sink: MailSink) -> None:
    [before] = outbox.put()
    [broken] = outbox.put(payload="'{}'")
    [shapeless] = outbox.put(payload="'[]'")
    [after] = outbox.put()
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider):
        eventually(lambda: outbox.number(UNSETTLED) == 0, seconds=30)
    rows = [outbox.row(message_id) for message_id in (before, broken, shapeless, after)]
    assert [row.status for row in rows] == ["sent", "dead", "dead", "sent"]
    assert {row.last_error_class for row in rows[1:3]} == {"content"}


def test_a_message_whose_key_is_missing_waits_without_losing_an_attempt(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=20, payload="""'{"name": null, "key_id": "of tomorrow"}'""")
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(lambda: outbox.number(WAITING_FOR_A_KEY) == 20, seconds=30)
        assert len(relay.logged("key missing")) == 1  # logged once, not at each attempt


def test_a_message_of_a_newer_release_waits_for_a_newer_relay(outbox: Outbox, sink: MailSink) -> None:
    newer = [*outbox.put(template="'of_tomorrow'"), *outbox.put(locale="'eo'")]
    outbox.put(count=3)
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider):
        eventually(lambda: outbox.number(UNSETTLED) == len(newer), seconds=30)
    assert [outbox.row(message_id).lost_leases for message_id in newer] == [0, 0]


def test_an_outcome_that_cannot_be_written_harms_no_other_message(outbox: Outbox, sink: MailSink) -> None:
    [spoilt] = outbox.put(attempt="32767")  # the largest value of the column
    outbox.put(count=20)
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(lambda: relay.logged("outcome not written"), seconds=30)
        eventually(lambda: outbox.number(UNSETTLED) == 1, seconds=30)
        assert relay.logged("outcome not written")[0]["message_id"] == str(spoilt)


def test_sms_and_mail_do_not_wait_for_each_other(outbox: Outbox, sink: MailSink, tmp_path: Path) -> None:
    sink.hold()
    outbox.put(count=10)
    [text] = outbox.put(channel="sms", recipient="'+33612345678'")
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, SMS_PROVIDERS=f"file://{tmp_path}"):
        eventually(lambda: outbox.row(text).status == "sent", seconds=30)
    assert [path.name for path in tmp_path.iterdir()] == [f"{text}.txt"]
    assert sink.arrived == {}


@pytest.mark.skipif(not has_ipv6_loopback(), reason="the machine's loopback has no IPv6")
def test_health_and_metrics_are_served_over_ipv6(outbox: Outbox, sink: MailSink) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, RELAY_BIND="[::1]:0") as relay:
        relay.wait_until_ready()
        assert relay.logged("relay started")[0]["bind"].startswith("[::1]:")


def test_metrics_count_settled_messages(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=3)
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(outbox.is_all_sent, seconds=30)
        metrics = relay.get("/metrics").text
    labels = 'channel="email",dead_reason="",outcome="sent",template="activation"'
    assert f"signpost_messages_settled_total{{{labels}}} 3.0" in metrics
    for name in ("accept_latency_seconds_count", "delivery_duration_seconds_count", "backlog_messages", "breaker_open"):
        assert f"signpost_{name}{{" in metrics


def test_once_delivers_all_due_messages_of_any_age_and_exits(outbox: Outbox, sink: MailSink) -> None:
    ids = outbox.put(count=30, due_at="now() - interval '1 minute'")
    ids += put_old(outbox, 9, count=2, status="'pending'", settled_at="null")
    outbox.put(due_at="now() + interval '1 hour'")
    assert relay_once(outbox.database, EMAIL_PROVIDERS=sink.provider, RELAY_BATCH_SIZE="10") == 0
    assert sink.arrived.total() == len(ids)
    assert outbox.number(UNSETTLED) == 1


def test_once_reports_that_the_provider_was_down(outbox: Outbox) -> None:
    outbox.put()
    assert relay_once(outbox.database, EMAIL_PROVIDERS="smtp://127.0.0.1:1?tls=none") == 1
    assert outbox.number("select count(*) from outbox_messages where attempt = 0 and status = 'pending'") == 1


def test_once_waits_for_rate_tokens_that_arrive_soon(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=8)
    assert relay_once(outbox.database, EMAIL_PROVIDERS=f"{sink.provider}&rate=4/s") == 0
    assert outbox.is_all_sent()


def test_once_reports_messages_that_must_still_wait(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=3)
    assert relay_once(outbox.database, EMAIL_PROVIDERS=f"{sink.provider}&rate=1/h") == 1
    assert sink.arrived.total() == 1
    assert outbox.number("select count(*) from outbox_messages where attempt = 0 and status = 'pending'") == 2


def test_a_port_in_use_is_reported_and_ends_the_relay(outbox: Outbox, sink: MailSink) -> None:
    settings = {"EMAIL_PROVIDERS": sink.provider, "RELAY_BIND": f"127.0.0.1:{sink.port}"}
    with running_relay(outbox.database, **settings) as relay:
        assert relay.process.wait(10) == 1
        assert relay.logged("relay cannot listen")
