"""Kill a relay at each step between claim and settlement: check the state it leaves and that a restart recovers.

Each crash point ends with the relay dead. `Left` describes the row's status, its lease, and the number of arrivals.
The next relay may deliver a second copy only if the message had arrived and is still pending.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest

from tests.support.conservation import Ledger, conserved
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.gates import (
    claims_blocked,
    end_sessions,
    row_locked,
    settlements_refused,
    wait_until_blocked,
    wait_until_sessions_end,
)
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relaying import deliver_all
from tests.support.relays import RunningRelay, running_relay

LEASED = "select count(*) from outbox_messages where status = 'pending' and leased_until > now()"
EXPIRE_LEASES = "update outbox_messages set leased_until = now(), due_at = now() where lease_token is not null"


@dataclass(frozen=True)
class Left:
    """The state of one message after its relay died."""

    status: str
    is_leased: bool
    arrived: int


@dataclass(frozen=True)
class Setup:
    """One message's outbox and mail server, and the settings of the relays that deliver it."""

    outbox: Outbox
    sink: MailSink

    @property
    def database(self) -> Database:
        return self.outbox.database

    @contextmanager
    def relay(self) -> Iterator[RunningRelay]:
        with running_relay(self.database, EMAIL_PROVIDERS=self.sink.provider, RELAY_CONNECTIONS="1") as relay:
            yield relay

    def is_leased(self) -> bool:
        return self.outbox.number(LEASED) == 1

    def has_arrived(self) -> bool:
        return self.sink.arrived.total() == 1


def before_the_claim_commits(setup: Setup, _message_id: UUID) -> None:
    with claims_blocked(setup.database), setup.relay() as relay:
        wait_until_blocked(setup.database, "claim")
        relay.kill()
        end_sessions(setup.database)


def while_the_claim_commits(setup: Setup, _message_id: UUID) -> None:
    with claims_blocked(setup.database), setup.relay() as relay:
        wait_until_blocked(setup.database, "claim")
        relay.kill()


def after_the_claim(setup: Setup, _message_id: UUID) -> None:
    setup.sink.hold()
    with setup.relay() as relay:
        eventually(lambda: setup.is_leased() and setup.sink.connections)
        relay.kill()


def after_submission_and_before_acceptance(setup: Setup, _message_id: UUID) -> None:
    setup.sink.hold_final_replies()
    with setup.relay() as relay:
        eventually(setup.has_arrived)
        relay.kill()


def after_acceptance_and_before_the_settlement(setup: Setup, _message_id: UUID) -> None:
    setup.sink.hold()
    with setup.relay() as relay:
        eventually(setup.is_leased)
        with settlements_refused(setup.database):
            setup.sink.release()
            eventually(lambda: [line for line in relay.logged("database lost") if line["purpose"] == "settle"])
            relay.kill()


def during_a_settlement_that_the_server_rolls_back(setup: Setup, message_id: UUID) -> None:
    with blocked_at_the_settlement(setup, message_id) as relay:
        relay.kill()
        end_sessions(setup.database)
        wait_until_sessions_end(setup.database)


def during_a_settlement_that_the_server_completes(setup: Setup, message_id: UUID) -> None:
    with blocked_at_the_settlement(setup, message_id) as relay:
        relay.kill()


def after_the_settlement(setup: Setup, message_id: UUID) -> None:
    with setup.relay() as relay:
        eventually(lambda: setup.outbox.row(message_id).status == "sent")
        relay.kill()


@contextmanager
def blocked_at_the_settlement(setup: Setup, message_id: UUID) -> Iterator[RunningRelay]:
    """Run a relay until its settlement waits for the message's row, and unlock the row when the block ends."""
    setup.sink.hold()
    with setup.relay() as relay:
        eventually(setup.is_leased)
        with row_locked(setup.database, message_id):
            setup.sink.release()
            wait_until_blocked(setup.database, "settle")
            yield relay


Point = Callable[[Setup, UUID], None]
POINTS: dict[Point, Left] = {
    before_the_claim_commits: Left("pending", is_leased=False, arrived=0),
    while_the_claim_commits: Left("pending", is_leased=True, arrived=0),
    after_the_claim: Left("pending", is_leased=True, arrived=0),
    after_submission_and_before_acceptance: Left("pending", is_leased=True, arrived=1),
    after_acceptance_and_before_the_settlement: Left("pending", is_leased=True, arrived=1),
    during_a_settlement_that_the_server_rolls_back: Left("pending", is_leased=True, arrived=1),
    during_a_settlement_that_the_server_completes: Left("sent", is_leased=False, arrived=1),
    after_the_settlement: Left("sent", is_leased=False, arrived=1),
}


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.__name__)
def test_a_restart_recovers_after_a_kill_at_any_crash_point(
    outbox: Outbox, ledger: Ledger, sink: MailSink, point: Point
) -> None:
    ledger.enqueue(1, rolled_back=1)
    [message_id] = ledger.committed
    setup, left = Setup(outbox, sink), POINTS[point]
    point(setup, message_id)
    wait_until_sessions_end(outbox.database)
    ledger.note_disturbance()
    row = outbox.row(message_id)
    assert Left(row.status, row.lease_token is not None, sink.arrived.total()) == left
    assert row.dead_reason is None

    restart(setup)
    is_copied = left.arrived == 1 and left.status == "pending"
    assert conserved(ledger, sink).copies == (1 if is_copied else 0)
    row = outbox.row(message_id)
    assert (row.status, row.attempt, row.lost_leases) == ("sent", 1, 1 if left.is_leased else 0)


def test_a_relay_killed_between_two_settlement_statements_leaves_the_second_message_pending(
    outbox: Outbox, ledger: Ledger, sink: MailSink
) -> None:
    ledger.enqueue(3)
    first, second, refused = sorted(ledger.committed)
    sink.refuse(outbox.row(refused).recipient, "550 5.1.1 no such user")
    setup = Setup(outbox, sink)
    sink.hold()
    with setup.relay() as relay:
        eventually(lambda: outbox.number(LEASED) == 3)
        # The first message is settled alone. While that settlement waits for its row, the other two form one batch.
        with row_locked(outbox.database, refused):
            with row_locked(outbox.database, first):
                sink.release()
                wait_until_blocked(outbox.database, "settle")
                eventually(lambda: has_received_results(relay, 3))
            eventually(lambda: outbox.row(second).status == "sent")
            wait_until_blocked(outbox.database, "settle")
            relay.kill()
            end_sessions(outbox.database)
            wait_until_sessions_end(outbox.database)
    ledger.note_disturbance()
    assert [outbox.row(one).status for one in (first, second, refused)] == ["sent", "sent", "pending"]
    assert outbox.execute("select * from delivery_attempts") == []

    sink.accept_all()
    restart(setup)
    assert conserved(ledger, sink).copies == 0


def has_received_results(relay: RunningRelay, count: int) -> bool:
    """Return whether the relay has received the results of that many messages."""
    lines = relay.get("/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith("signpost_delivery_duration_seconds_count")]
    return sum(float(line.rpartition(" ")[2]) for line in counts) >= count


def restart(setup: Setup) -> None:
    """Expire the leases, and let another relay deliver the rest."""
    setup.outbox.execute(EXPIRE_LEASES)
    setup.sink.release()
    deliver_all(setup.outbox, setup.sink)
