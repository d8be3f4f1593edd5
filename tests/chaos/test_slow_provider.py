"""A provider accepts messages a thousand times more slowly: the relay keeps its leases and its memory, and recovers."""

from bench.process_usage import resident_megabytes
from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

BACKLOG = 5_000
SLOW_SECONDS = 1.0
LEASED = "select count(*) from outbox_messages where status = 'pending' and lease_token is not null"
SENT = "select count(*) from outbox_messages where status = 'sent'"
LOST = "select sum(lost_leases) from outbox_messages"
BATCH = 50
MOST_MEGABYTES = 120
"""As much as the benchmark allows a relay with a million messages."""


def test_a_slow_provider_costs_no_lease_and_no_memory(outbox: Outbox, ledger: Ledger, sink: MailSink) -> None:
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, RELAY_BATCH_SIZE=str(BATCH)) as relay:
        ledger.enqueue(20)
        eventually(outbox.is_all_sent)
        sink.reply_seconds = SLOW_SECONDS
        ledger.enqueue(BACKLOG)
        slow = 20 + 5 * 8  # five for each connection
        eventually(lambda: outbox.number(SENT) >= slow, seconds=60)
        assert outbox.number(LEASED) <= 2 * BATCH
        assert outbox.number(LOST) == 0
        assert resident_megabytes(relay.pid) <= MOST_MEGABYTES
        assert relay.get("/livez").status_code == 200
        sink.reply_seconds = 0
        eventually(outbox.is_all_sent, seconds=90)
        assert outbox.number(LOST) == 0
    assert conserved(ledger, sink).copies == 0
