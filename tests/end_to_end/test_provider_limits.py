"""Relay processes with providers that are slow, limited, or known to be down."""

from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relays import RunningRelay, running_relay

pytestmark = pytest.mark.slow

SENT = "select count(*) from outbox_messages where status = 'sent'"
LATE = "now() - interval '1 minute'"


def test_a_provider_known_to_be_down_is_not_tried_by_a_relay_that_starts(
    outbox: Outbox, sink: MailSink, tmp_path: Path
) -> None:
    outbox.execute(
        "insert into providers (name, consecutive_opens, open_until) values (%s, 3, now() + interval '1 hour')",
        f"smtp:127.0.0.1:{sink.port}",
    )
    outbox.put(count=10)
    with running_relay(outbox.database, EMAIL_PROVIDERS=f"{sink.provider},file://{tmp_path}") as relay:
        eventually(outbox.is_all_sent, seconds=30)
        relay.wait_until_ready()
        [down] = relay.logged("provider down")
        assert down["error"] == "reported earlier, or by another relay"
    assert len(list(tmp_path.iterdir())) == 10
    assert sink.connections == 0


def test_the_providers_row_shows_the_start_and_end_of_an_outage(outbox: Outbox, sink: MailSink) -> None:
    sink.hold()
    outbox.put(count=5)
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, RELAY_SEND_SECONDS="1"):
        eventually(lambda: outbox.number("select count(*) from providers where consecutive_opens > 0"), seconds=30)
        sink.release()
        eventually(outbox.is_all_sent, seconds=30)
        eventually(lambda: outbox.number("select count(*) from providers where consecutive_opens = 0"), seconds=30)


def test_all_relays_together_respect_a_providers_rate(outbox: Outbox, sink: MailSink) -> None:
    outbox.put(count=5)
    provider = f"{sink.provider}&rate=1/h"
    with (
        running_relay(outbox.database, EMAIL_PROVIDERS=provider) as one,
        running_relay(outbox.database, EMAIL_PROVIDERS=provider) as other,
    ):
        eventually(lambda: is_waiting_for_its_rate(one) and is_waiting_for_its_rate(other), seconds=30)
        eventually(lambda: outbox.number(SENT) == 1, seconds=30)
    assert sink.arrived.total() == 1
    assert outbox.number("select count(*) from outbox_messages where attempt = 0 and lost_leases = 0") == 4


def is_waiting_for_its_rate(relay: RunningRelay) -> bool:
    lines = [line for line in relay.get("/metrics").text.splitlines() if line.startswith("signpost_rate_wait_seconds{")]
    return any(float(line.split()[-1]) > 0 for line in lines)


def test_a_provider_gets_no_more_connections_than_it_allows(outbox: Outbox, sink: MailSink) -> None:
    sink.hold()
    outbox.put(count=50)
    settings = {"EMAIL_PROVIDERS": f"{sink.provider}&connections=2", "RELAY_CONNECTIONS": "8"}
    with running_relay(outbox.database, **settings):
        eventually(lambda: sink.connections == 2, seconds=30)
        sink.release()
        eventually(outbox.is_all_sent, seconds=30)
    assert sink.connections == 2


def test_late_messages_skip_a_slow_provider(outbox: Outbox, sink: MailSink, tmp_path: Path) -> None:
    sink.hold()
    outbox.put(count=20, created_at=LATE)
    providers = f"{sink.provider}&connections=1,file://{tmp_path}"
    with running_relay(outbox.database, EMAIL_PROVIDERS=providers) as relay:
        # The slow provider may hold one message.
        eventually(lambda: outbox.number(SENT) >= 19, seconds=15)
        assert relay.logged("provider down") == []
        sink.release()
        eventually(outbox.is_all_sent, seconds=30)
    assert sink.arrived.total() + len(list(tmp_path.iterdir())) == 20
