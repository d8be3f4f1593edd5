"""Maintenance by real relays: one relay leads, and another takes over when the leader dies."""

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.maintenance import has_partition, put_old
from tests.support.outbox import Outbox
from tests.support.relays import RunningRelay, running_relay

DONE = "signpost_maintenance_last_success_timestamp_seconds"


def test_another_relay_takes_over_maintenance_from_a_killed_leader(outbox: Outbox, sink: MailSink) -> None:
    settings = {"EMAIL_PROVIDERS": sink.provider, "RELAY_MAINTENANCE_SECONDS": "1"}
    put_old(outbox, 100)
    with running_relay(outbox.database, **settings) as first:
        eventually(lambda: first.logged("maintenance done"))
        assert not has_partition(outbox, 100)
        with running_relay(outbox.database, **settings) as second:
            second.wait_until_ready()
            eventually(lambda: last_done(first) > 0)
            first.kill()
            put_old(outbox, 200)
            assert second.logged("maintenance leadership acquired") == []
            outbox.execute("update leader_lease set leased_until = now()")
            [line] = eventually(lambda: second.logged("maintenance done"))
            assert eventually(lambda: last_done(second)) > 0
    assert (line["partitions_dropped"], has_partition(outbox, 200)) == (1, False)


def last_done(relay: RunningRelay) -> float:
    [value] = [line.split()[1] for line in relay.get("/metrics").text.splitlines() if line.startswith(f"{DONE} ")]
    return float(value)
