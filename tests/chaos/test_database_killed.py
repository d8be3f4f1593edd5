"""Stop the database as in a power cut and restart it, three times during a drain: every message survives."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from devstack.cluster import Cluster, embedded_binaries
from devstack.logins import create_logins
from migrations import commands
from tests.support.conservation import Ledger, conserved
from tests.support.databases import Database, execute
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relay_group import relay_group

NAME = "signpost"
MESSAGES = 1_500


@pytest.fixture
def lasting_database() -> Iterator[Database]:
    """Yield a database on its own server, with durable commits as in production."""
    with Cluster(embedded_binaries(), with_tcp=True) as cluster:
        execute(cluster, f"create database {NAME}")
        commands.upgrade(cluster.url(NAME))
        create_logins(cluster.url(NAME))
        yield Database(cluster, NAME)


def test_a_database_killed_three_times_during_a_drain_loses_no_message(
    lasting_database: Database, sink: MailSink, jitter: random.Random
) -> None:
    ledger, outbox = Ledger(lasting_database), Outbox(lasting_database)
    ledger.enqueue(MESSAGES, rolled_back=100)
    sink.reply_seconds = 0.04
    with relay_group(2, lasting_database, EMAIL_PROVIDERS=sink.provider) as group, ThreadPoolExecutor(1) as writer:
        for _kill in range(3):
            writing = writer.submit(ledger.enqueue, MESSAGES // 3, rolled_back=20)
            before = sink.arrived.total()
            count = jitter.randint(50, 200)
            eventually(lambda before=before, count=count: sink.arrived.total() >= before + count, seconds=60)
            lasting_database.cluster.stop("immediate")
            lasting_database.cluster.start()
            ledger.note_crash()
            writing.result()
        sink.reply_seconds = 0
        eventually(outbox.is_all_sent, seconds=60)
        assert all(relay.logged("database lost") and relay.process.poll() is None for relay in group.relays)
    tally = conserved(ledger, sink)
    assert (tally.dead, tally.pending, tally.poisoned) == (0, 0, 0)
    assert tally.sent >= len(ledger.committed) == 2 * MESSAGES
