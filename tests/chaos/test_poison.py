"""A message that kills its relay process, and the delivery of the messages around it."""

import sys
from pathlib import Path
from uuid import UUID

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import UNSETTLED, Outbox
from tests.support.relays import RunningRelay, relay_once, running_relay

LEASED = "select count(*) from outbox_messages where status = 'pending' and lease_token is not null"
DEADLY = "'poison@example.org'"
KILLED_BY_IT = 99

# A relay that dies without running any handler, as when it is out of memory or a library crashes.
FRAGILE = f"""
import os
from outbox_relay.rendering.renderer import Renderer
from outbox_relay.cli import main

def fragile_render(self, message, render=Renderer.render):
    return os._exit({KILLED_BY_IT}) if message.recipient == {DEADLY} else render(self, message)

Renderer.render = fragile_render
main()
"""
COMMAND = [sys.executable, "-c", FRAGILE, "run"]


def test_poison_is_dead_after_five_lost_leases_and_its_neighbours_arrive(outbox: Outbox, sink: MailSink) -> None:
    [poison] = outbox.put(recipient=DEADLY)
    innocents = outbox.put(count=50)
    settings = {"EMAIL_PROVIDERS": sink.provider, "RELAY_LEASE_SECONDS": "3", "RELAY_SEND_SECONDS": "1"}
    deaths = 0
    while deaths < 10:
        with running_relay(outbox.database, command=COMMAND, **settings) as relay:
            eventually(lambda relay=relay: relay.process.poll() is not None or outbox.number(UNSETTLED) == 0)
            if relay.process.poll() is None:
                dead_events = eventually(lambda relay=relay: relay.logged("message dead"))
                metrics = relay.get("/metrics").text
                break
        assert relay.process.returncode == KILLED_BY_IT
        deaths += 1
        end_leases(outbox)
    assert deaths == 5
    row = outbox.row(poison)
    assert (row.status, row.dead_reason, row.attempt, row.lost_leases) == ("dead", "poison", 0, 5)
    assert [(line["message_id"], line["dead_reason"]) for line in dead_events] == [(str(poison), "poison")]
    labels = 'channel="email",dead_reason="poison",outcome="dead",template="activation"'
    assert f"signpost_messages_settled_total{{{labels}}} 1.0" in metrics
    assert outbox.execute("select id, dead_reason from dead_letters") == [(poison, "poison")]
    assert sink.arrived.keys() == {f"{message_id}@signpost.example" for message_id in innocents}
    assert outbox.execute("select distinct status, attempt from outbox_messages where id <> %s", poison) == [
        ("sent", 1)
    ]


def test_a_suspect_is_tried_alone_in_the_process(outbox: Outbox, sink: MailSink) -> None:
    sink.reply_seconds = 0.01
    outbox.put(count=500)
    outbox.put(count=500, priority="'low'")
    suspect = a_suspect(outbox, recipient=DEADLY)
    with running_relay(outbox.database, command=COMMAND, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(lambda: relay.process.poll() is not None)
    assert outbox.number(LEASED) == 1
    assert outbox.row(suspect).lease_token is not None


def test_suspects_are_tried_during_a_backlog_and_the_backlog_continues(outbox: Outbox, sink: MailSink) -> None:
    suspects = outbox.put(count=30, lost_leases="2")
    outbox.put(count=300)
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, RELAY_POLL_SECONDS="300") as relay:
        eventually(outbox.is_all_sent)
        eventually(lambda: sum(line["count"] for line in relay.logged("suspects tried")) == len(suspects))
    assert sink.arrived.total() == 330


def test_a_suspect_that_hangs_delays_other_messages_by_seconds_only(
    outbox: Outbox, sink: MailSink, tmp_path: Path
) -> None:
    sink.hold()
    a_suspect(outbox)
    settings = {"EMAIL_PROVIDERS": sink.provider, "SMS_PROVIDERS": f"file://{tmp_path}"}
    long_times = {"RELAY_LEASE_SECONDS": "3600", "RELAY_SEND_SECONDS": "1200", "RELAY_POLL_SECONDS": "300"}
    with running_relay(outbox.database, **settings, **long_times) as relay:
        eventually(lambda: sink.connections == 1)
        text = a_text(outbox, relay)
        eventually(lambda: outbox.row(text).status == "sent")
        assert outbox.number(LEASED) == 1


def test_suspects_that_wait_for_their_provider_delay_no_other_message(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put(count=20, lost_leases="2")
    settings = {"EMAIL_PROVIDERS": "smtp://127.0.0.1:1?tls=none", "SMS_PROVIDERS": f"file://{tmp_path}"}
    with running_relay(outbox.database, **settings) as relay:
        text = a_text(outbox, relay)
        eventually(lambda: outbox.row(text).status == "sent")
        [first_turn, *_] = eventually(lambda: relay.logged("suspects tried"))
        eventually(lambda: outbox.number(LEASED) == 0)
    assert first_turn["count"] < 20
    assert outbox.number(f"{UNSETTLED} and attempt = 0 and lost_leases = 2") == 20


def test_stopping_during_a_suspect_costs_it_no_lease(outbox: Outbox, sink: MailSink) -> None:
    sink.reply_seconds = 0.02
    outbox.put(count=200, lost_leases="2")
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(lambda: sink.arrived.total() >= 5)
        relay.process.terminate()
        assert relay.process.wait(20) == 0
    assert outbox.number(LEASED) == 0
    assert outbox.number("select max(lost_leases) from outbox_messages") == 2
    assert sink.arrived.total() == outbox.number("select count(*) from outbox_messages where status = 'sent'")


def test_once_tries_suspects_after_all_other_messages(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=3, lost_leases="2")
    outbox.put(count=20)
    assert relay_once(outbox.database, EMAIL_PROVIDERS=sink.provider) == 0
    assert outbox.is_all_sent()


def a_suspect(outbox: Outbox, **columns: str) -> UUID:
    [suspect] = outbox.put(lost_leases="2", **columns)
    return suspect


def a_text(outbox: Outbox, relay: RunningRelay) -> UUID:
    relay.wait_until_ready()
    [text] = outbox.put(channel="sms", recipient="'+33612345678'")
    outbox.execute("select pg_notify('signpost_outbox', '')")
    return text


def end_leases(outbox: Outbox) -> None:
    """Expire the leases of a dead relay."""
    outbox.execute(
        "update outbox_messages set due_at = now(), leased_until = now()"
        " where status = 'pending' and lease_token is not null"
    )
