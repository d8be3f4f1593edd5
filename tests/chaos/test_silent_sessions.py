"""A session that is never answered again and never closed, as behind a load balancer that has lost its server."""

from contextlib import AbstractContextManager

from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.forwarding import Road, forwarding
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relays import RunningRelay, running_relay

LEASED = "select count(*) from outbox_messages where lease_token is not null"
UNSENT = "select count(*) from outbox_messages where status <> 'sent'"
LONGEST = 60
"""Seconds: twenty until the relay loses patience, ten for psycopg to let go, and room."""


def test_statements_that_are_never_answered_are_sent_again_over_other_sessions(
    outbox: Outbox, ledger: Ledger, sink: MailSink
) -> None:
    with forwarding(0, to=outbox.database.cluster.port) as road, relay_over(road, outbox, sink) as relay:
        ledger.enqueue(1)
        eventually(outbox.is_all_sent)  # so that there is a session to settle over
        sink.hold_verdicts()
        ledger.enqueue(20, rolled_back=5)
        eventually(lambda: outbox.number(LEASED) == 20)
        road.fall_silent()
        sink.release()
        eventually(lambda: sink.arrived.total() == 21)
        ledger.enqueue(20)
        assert outbox.number(UNSENT) == 40
        eventually(outbox.is_all_sent, seconds=LONGEST)
        lost = {line["purpose"]: line["error"] for line in relay.said("database lost")}
        assert (lost["claim"], lost["settle"]) == ("ConnectionTimeout", "ConnectionTimeout")
        relay.wait_until_ready()
    # The relay has kept what it knew, and its leases were long enough.
    assert conserved(ledger, sink).copies == 0


def relay_over(road: Road, outbox: Outbox, sink: MailSink) -> AbstractContextManager[RunningRelay]:
    """Run a relay that reaches its database by that road only."""
    database = outbox.database
    url = database.cluster.tcp_url(database.name, user="relay", port=road.port)
    return running_relay(database, EMAIL_PROVIDERS=sink.provider, DATABASE_URL=url)
