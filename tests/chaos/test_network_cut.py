"""Cut one of two relays off from the database only: the other takes over, and the first may return."""

from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.namespaces import namespace
from tests.support.outbox import Outbox
from tests.support.relays import running_relay
from tests.support.remote_relays import remote_relay

LEASED = "select count(*) from outbox_messages where lease_token is not null"
END_LEASES = "update outbox_messages set leased_until = now() where lease_token is not null"
ROWS = "select * from outbox_messages order by id"
LONGEST = 60


def test_a_relay_cut_off_from_the_database_is_replaced_and_settles_correctly_on_its_return(
    outbox: Outbox, ledger: Ledger, sink: MailSink
) -> None:
    with (
        namespace(cables=2) as host,
        remote_relay(host, outbox.database, sink, RELAY_CONNECTIONS="20") as cut_off,
    ):
        to_database, _ = host.cables
        sink.hold()
        ledger.enqueue(20, rolled_back=5)
        # A connection for each message: the responses to the claims have arrived, and not only their commits.
        eventually(lambda: sink.open_connections == 20)
        assert outbox.number(LEASED) == 20
        to_database.pull()
        ledger.note_disturbance()
        deliver_without_settling(outbox, ledger, sink)

        outbox.execute(END_LEASES)
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider):
            eventually(outbox.is_all_sent, seconds=LONGEST)
        before = outbox.execute(ROWS)
        to_database.plug_in()
        # The relay settles its stored outcomes first, in claim order, so all of them precede these.
        ledger.enqueue(5)
        eventually(outbox.is_all_sent, seconds=LONGEST)
        eventually(lambda: cut_off.logged("stale outcomes ignored"))
        assert cut_off.logged("message dead") == []
        assert outbox.execute(ROWS)[: len(before)] == before
    assert conserved(ledger, sink).copies == 19


def deliver_without_settling(outbox: Outbox, ledger: Ledger, sink: MailSink) -> None:
    """Let the isolated relay receive acceptances for all of its messages except one, which the server rejects."""
    [refused, *_] = sorted(ledger.committed)
    sink.refuse(outbox.row(refused).recipient, "550 5.1.1 no such user")
    sink.release()
    eventually(lambda: sink.arrived.total() == 19)
    sink.accept_all()
