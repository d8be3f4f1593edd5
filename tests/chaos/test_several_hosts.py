"""Relays on three hosts share one outbox without coordination, and remaining hosts replace an isolated one."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.namespaces import Namespace, namespace
from tests.support.outbox import Outbox
from tests.support.relays import RunningRelay
from tests.support.remote_relays import remote_relay

HOSTS = 3
IN_SMALL_BATCHES = {
    "RELAY_BATCH_SIZE": "10",
    "RELAY_CONNECTIONS": "2",
    "RELAY_LEASE_SECONDS": "10",
    "RELAY_SEND_SECONDS": "2",
}
"""Short leases: the test waits until the isolated host's leases end."""
VERDICT_SECONDS = 0.05
"""With two connections for each of three relays, the server takes 120 messages a second, so late relays get a share."""


def test_hosts_share_the_work_and_send_each_message_once(outbox: Outbox, ledger: Ledger, sink: MailSink) -> None:
    with hosts(outbox, sink) as (relays, _):
        sink.reply_seconds = VERDICT_SECONDS
        ledger.enqueue(300, rolled_back=10)
        eventually(outbox.is_all_sent, seconds=60)
        eventually(lambda: each_has_sent(relays, ledger, outbox), seconds=120)
    assert conserved(ledger, sink).copies == 0


def test_the_other_hosts_replace_one_that_is_cut_off(outbox: Outbox, ledger: Ledger, sink: MailSink) -> None:
    with hosts(outbox, sink) as (relays, machines):
        sink.reply_seconds = VERDICT_SECONDS
        eventually(lambda: each_has_sent(relays, ledger, outbox), seconds=120)
        ledger.enqueue(150)
        to_database, _ = machines[0].cables
        to_database.pull()
        ledger.note_disturbance()
        ledger.enqueue(150)
        eventually(outbox.is_all_sent, seconds=60)
    tally = conserved(ledger, sink)
    assert (tally.sent, tally.dead, tally.pending) == (len(ledger.committed), 0, 0)


@contextmanager
def hosts(outbox: Outbox, sink: MailSink) -> Iterator[tuple[list[RunningRelay], list[Namespace]]]:
    """Run a relay on each host; return once all of them claim."""
    with ExitStack() as ending:
        machines = [ending.enter_context(namespace(cables=2)) for _ in range(HOSTS)]
        relays = [
            ending.enter_context(remote_relay(machine, outbox.database, sink, **IN_SMALL_BATCHES))
            for machine in machines
        ]
        for relay in relays:
            eventually(lambda relay=relay: relay.logged("relay claiming"))
        yield relays, machines


def each_has_sent(relays: list[RunningRelay], ledger: Ledger, outbox: Outbox) -> bool:
    """Return whether each relay has sent some. If one has not, enqueue more: a host may be slow for a while."""
    if min(sent_by(relay) for relay in relays) > 0:
        return True
    ledger.enqueue(60)
    eventually(outbox.is_all_sent, seconds=60)
    return False


def sent_by(relay: RunningRelay) -> int:
    return sum(line["count"] for line in relay.logged("messages sent"))
