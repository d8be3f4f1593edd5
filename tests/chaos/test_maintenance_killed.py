"""Maintenance by real relays: one does it, and another goes on when that one is gone."""

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.maintenance import has_partition, put_old
from tests.support.outbox import Outbox
from tests.support.relays import RunningRelay, running_relay

DONE = "signpost_maintenance_last_success_timestamp_seconds"


def test_a_relay_goes_on_with_the_maintenance_of_one_that_was_killed(outbox: Outbox, sink: MailSink) -> None:
    settings = {"EMAIL_PROVIDERS": sink.provider, "RELAY_MAINTENANCE_SECONDS": "1"}
    put_old(outbox, 100)
    with running_relay(outbox.database, **settings) as first:
        eventually(lambda: first.said("maintenance done"))
        assert not has_partition(outbox, 100)
        with running_relay(outbox.database, **settings) as second:
            second.wait_until_ready()
            eventually(lambda: last_done(first) > 0)
            first.kill()
            put_old(outbox, 200)
            assert second.said("maintenance leadership acquired") == []
            outbox.execute("update leader_lease set leased_until = now()")
            [line] = eventually(lambda: second.said("maintenance done"))
            assert eventually(lambda: last_done(second)) > 0
    assert (line["partitions_dropped"], has_partition(outbox, 200)) == (1, False)


def last_done(relay: RunningRelay) -> float:
    [value] = [line.split()[1] for line in relay.get("/metrics").text.splitlines() if line.startswith(f"{DONE} ")]
    return float(value)
