"""A relay that resumes after its lease ended: its `sent` still counts, its `dead` does not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.freezing import frozen
from tests.support.gates import settlements_refused
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relay_group import resume, stop
from tests.support.relays import RunningRelay, running_relay

NO_SUCH_USER = "550 5.1.1 no such user"
SETTLED = "signpost_messages_settled_total{"


def test_a_late_sent_replaces_a_death_written_by_another_relay(outbox: Outbox, ledger: Ledger, sink: MailSink) -> None:
    with frozen_before_its_settle(outbox, ledger, sink) as (zombie, message_id):
        sink.refuse(outbox.row(message_id).recipient, NO_SUCH_USER)
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider):
            eventually(lambda: outbox.row(message_id).dead_reason == "rejected")
        resume(zombie)
        eventually(lambda: outbox.row(message_id).status == "sent")
    assert outbox.row(message_id).dead_reason is None
    assert conserved(ledger, sink).copies == 0


def test_a_late_death_does_not_replace_a_sent_written_by_another_relay(
    outbox: Outbox, ledger: Ledger, sink: MailSink
) -> None:
    with frozen_before_its_settle(outbox, ledger, sink, refusal=NO_SUCH_USER) as (zombie, message_id):
        sink.accept_all()
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider):
            eventually(lambda: outbox.row(message_id).status == "sent")
        before = outbox.row(message_id)
        resume(zombie)
        assert_ignored_as_stale(zombie, message_id)
        assert outbox.row(message_id) == before
    assert outbox.execute("select * from delivery_attempts") == []
    assert conserved(ledger, sink).copies == 0


def test_a_late_death_is_ignored_while_another_relay_holds_the_lease(
    outbox: Outbox, ledger: Ledger, sink: MailSink
) -> None:
    with frozen_before_its_settle(outbox, ledger, sink, refusal=NO_SUCH_USER) as (zombie, message_id):
        sink.accept_all()
        sink.hold_final_replies()
        with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider):
            eventually(lambda: sink.arrived.total() == 1)
            before = outbox.row(message_id)
            resume(zombie)
            assert_ignored_as_stale(zombie, message_id)
            assert outbox.row(message_id) == before
            sink.release()
            eventually(outbox.is_all_sent)
    assert conserved(ledger, sink).copies == 0


def test_a_reply_received_while_the_relay_was_frozen_counts(outbox: Outbox, ledger: Ledger, sink: MailSink) -> None:
    sink.hold_final_replies()
    settings = {"RELAY_SEND_SECONDS": "2", "RELAY_LEASE_SECONDS": "60"}
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, **settings) as relay:
        ledger.enqueue(1)
        eventually(lambda: sink.arrived.total() == 1)
        with frozen(relay.pid):
            sink.release()
            time.sleep(3)  # longer than the relay's timeout; the reply waits in its socket
        eventually(outbox.is_all_sent)
    [message_id] = ledger.committed
    assert outbox.row(message_id).attempt == 1
    assert conserved(ledger, sink).copies == 0


def assert_ignored_as_stale(zombie: RunningRelay, message_id: UUID) -> None:
    [late] = eventually(lambda: zombie.logged("stale outcomes ignored"))
    assert late["message_ids"] == [str(message_id)]
    assert zombie.logged("message dead") == []
    lines = zombie.get("/metrics").text.splitlines()
    deaths = [line for line in lines if line.startswith(SETTLED) and 'outcome="dead"' in line]
    assert deaths
    assert all(line.endswith(" 0.0") for line in deaths), deaths


@contextmanager
def frozen_before_its_settle(
    outbox: Outbox, ledger: Ledger, sink: MailSink, *, refusal: str | None = None
) -> Iterator[tuple[RunningRelay, UUID]]:
    """Yield a frozen relay whose lease has ended, with a message delivered or refused but not yet settled."""
    ledger.enqueue(1)
    [message_id] = ledger.committed
    if refusal:
        sink.refuse(outbox.row(message_id).recipient, refusal)
    sink.hold()
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as zombie:
        eventually(lambda: outbox.row(message_id).lease_token)
        with settlements_refused(outbox.database):
            sink.release()
            eventually(lambda: [line for line in zombie.logged("database lost") if line["purpose"] == "settle"])
            stop(zombie)
        ledger.note_disturbance()
        outbox.execute("update outbox_messages set leased_until = now(), due_at = now()")
        yield zombie, message_id
