"""A relay killed at each step of a message's way, one by one: what it leaves, and that a restart mends it.

Each point ends with the relay dead and says what is left: how the row stands, whether a lease is still on it,
and how often the message has arrived. A copy may come of exactly those that had arrived and are still pending.
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
    end_sessions,
    gate_at_claims,
    row_held,
    settles_refused,
    wait_until_held_up,
    wait_until_sessions_are_gone,
)
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relaying import deliver_all
from tests.support.relays import RunningRelay, running_relay

LEASED = "select count(*) from outbox_messages where status = 'pending' and leased_until > now()"
EXPIRE_LEASES = "update outbox_messages set leased_until = now(), due_at = now() where lease_token is not null"


@dataclass(frozen=True)
class Left:
    """What a relay leaves behind of one message."""

    status: str
    is_leased: bool
    arrived: int


@dataclass(frozen=True)
class Place:
    """Where a message is delivered, and by which way relays get at it."""

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


def before_the_claim_commits(place: Place, _message_id: UUID) -> None:
    with gate_at_claims(place.database), place.relay() as relay:
        wait_until_held_up(place.database, "claim")
        relay.kill()
        end_sessions(place.database)


def while_the_claim_commits(place: Place, _message_id: UUID) -> None:
    with gate_at_claims(place.database), place.relay() as relay:
        wait_until_held_up(place.database, "claim")
        relay.kill()


def after_the_claim(place: Place, _message_id: UUID) -> None:
    place.sink.hold()
    with place.relay() as relay:
        eventually(lambda: place.is_leased() and place.sink.connections)
        relay.kill()


def after_the_hand_over_and_before_the_yes(place: Place, _message_id: UUID) -> None:
    place.sink.hold_verdicts()
    with place.relay() as relay:
        eventually(place.has_arrived)
        relay.kill()


def after_the_yes_and_before_the_settle(place: Place, _message_id: UUID) -> None:
    place.sink.hold()
    with place.relay() as relay:
        eventually(place.is_leased)
        with settles_refused(place.database):
            place.sink.release()
            eventually(lambda: [line for line in relay.said("database lost") if line["purpose"] == "settle"])
            relay.kill()


def within_a_settle_that_the_server_rolls_back(place: Place, message_id: UUID) -> None:
    with held_up_at_the_settle(place, message_id) as relay:
        relay.kill()
        end_sessions(place.database)
        wait_until_sessions_are_gone(place.database)


def within_a_settle_that_the_server_goes_on_with(place: Place, message_id: UUID) -> None:
    with held_up_at_the_settle(place, message_id) as relay:
        relay.kill()


def after_the_settle(place: Place, message_id: UUID) -> None:
    with place.relay() as relay:
        eventually(lambda: place.outbox.row(message_id).status == "sent")
        relay.kill()


@contextmanager
def held_up_at_the_settle(place: Place, message_id: UUID) -> Iterator[RunningRelay]:
    """Run a relay until its settle waits for the message's row; that goes on when the block ends."""
    place.sink.hold()
    with place.relay() as relay:
        eventually(place.is_leased)
        with row_held(place.database, message_id):
            place.sink.release()
            wait_until_held_up(place.database, "settle")
            yield relay


Point = Callable[[Place, UUID], None]
POINTS: dict[Point, Left] = {
    before_the_claim_commits: Left("pending", is_leased=False, arrived=0),
    while_the_claim_commits: Left("pending", is_leased=True, arrived=0),
    after_the_claim: Left("pending", is_leased=True, arrived=0),
    after_the_hand_over_and_before_the_yes: Left("pending", is_leased=True, arrived=1),
    after_the_yes_and_before_the_settle: Left("pending", is_leased=True, arrived=1),
    within_a_settle_that_the_server_rolls_back: Left("pending", is_leased=True, arrived=1),
    within_a_settle_that_the_server_goes_on_with: Left("sent", is_leased=False, arrived=1),
    after_the_settle: Left("sent", is_leased=False, arrived=1),
}


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.__name__)
def test_a_relay_killed_there_leaves_what_a_restart_can_mend(
    outbox: Outbox, ledger: Ledger, sink: MailSink, point: Point
) -> None:
    ledger.enqueue(1, rolled_back=1)
    [message_id] = ledger.committed
    place, left = Place(outbox, sink), POINTS[point]
    point(place, message_id)
    wait_until_sessions_are_gone(outbox.database)
    ledger.note_disturbance()
    row = outbox.row(message_id)
    assert Left(row.status, row.lease_token is not None, sink.arrived.total()) == left
    assert row.dead_reason is None

    restart(place)
    is_copied = left.arrived == 1 and left.status == "pending"
    assert conserved(ledger, sink).copies == (1 if is_copied else 0)
    row = outbox.row(message_id)
    assert (row.status, row.attempt, row.lost_leases) == ("sent", 1, 1 if left.is_leased else 0)


def test_a_relay_killed_between_the_two_statements_of_a_settle_leaves_the_second_undone(
    outbox: Outbox, ledger: Ledger, sink: MailSink
) -> None:
    ledger.enqueue(3)
    first, second, refused = sorted(ledger.committed)
    sink.refuse(outbox.row(refused).recipient, "550 5.1.1 no such user")
    place = Place(outbox, sink)
    sink.hold()
    with place.relay() as relay:
        eventually(lambda: outbox.number(LEASED) == 3)
        # The first is settled alone; while that waits for its row, the two others become one settle.
        with row_held(outbox.database, refused):
            with row_held(outbox.database, first):
                sink.release()
                wait_until_held_up(outbox.database, "settle")
                eventually(lambda: is_answered(relay, 3))
            eventually(lambda: outbox.row(second).status == "sent")
            wait_until_held_up(outbox.database, "settle")
            relay.kill()
            end_sessions(outbox.database)
            wait_until_sessions_are_gone(outbox.database)
    ledger.note_disturbance()
    assert [outbox.row(one).status for one in (first, second, refused)] == ["sent", "sent", "pending"]
    assert outbox.execute("select * from delivery_attempts") == []

    sink.refuse_nobody()
    restart(place)
    assert conserved(ledger, sink).copies == 0


def is_answered(relay: RunningRelay, letters: int) -> bool:
    """Tell whether the relay has heard the fate of so many letters."""
    lines = relay.get("/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith("signpost_delivery_duration_seconds_count")]
    return sum(float(line.rpartition(" ")[2]) for line in counts) >= letters


def restart(place: Place) -> None:
    """Let the leases run out, and another relay deliver what is left."""
    place.outbox.execute(EXPIRE_LEASES)
    place.sink.release()
    deliver_all(place.outbox, place.sink)
