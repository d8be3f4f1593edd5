"""What a message costs the database, counted: neither what was settled before it nor what waits adds to it."""

from collections.abc import Iterator

import pytest

from bench.outbox_costs import PUT, Cost, cost_per_message, ratio
from bench.states import old_transaction
from tests.support.databases import Database
from tests.support.outbox import Outbox

BATCH = 100
FEW, MANY = 500, 5_000


@pytest.fixture
def nothing_cleaned_up(outbox: Outbox) -> Iterator[Outbox]:
    """Hold a transaction open: no vacuum, and no claim in passing, may take dead rows and index entries away."""
    with outbox.database.connect() as owner, old_transaction(owner.info.dsn):
        yield outbox


def test_claiming_and_settling_write_two_rows_and_less_than_800_bytes(outbox: Outbox) -> None:
    costs = [handled(outbox, put=MANY, messages=FEW), *(handled(outbox, messages=FEW) for _ in range(2))]
    # The server's own account has what a checkpoint or a vacuum in passing writes as well: not each time.
    assert min(cost.wal_bytes for cost in costs) < 800
    assert {cost.rows_written for cost in costs} == {2}
    assert all(cost.statements <= 2 / BATCH + 10 / FEW for cost in costs)


def test_the_thousands_before_it_behind_an_old_transaction_make_no_message_dearer(nothing_cleaned_up: Outbox) -> None:
    few = handled(nothing_cleaned_up, put=FEW, messages=FEW)
    assert_no_dearer(handled(nothing_cleaned_up, put=MANY, messages=MANY), few)


def test_a_backlog_makes_no_message_dearer(outbox: Outbox) -> None:
    alone = handled(outbox, put=FEW, messages=FEW)
    assert_no_dearer(handled(outbox, put=MANY, messages=FEW), alone)


def handled(outbox: Outbox, *, messages: int, put: int = 0) -> Cost:
    database: Database = outbox.database
    if put:
        outbox.execute(PUT, put)
    return cost_per_message(database.owner_url, database.relay_url, messages, BATCH)


def assert_no_dearer(later: Cost, earlier: Cost) -> None:
    grown = ratio(later, earlier)
    assert grown.statements <= 1.2
    assert grown.rows_written == 1
    assert grown.wal_bytes <= 1.3
    assert grown.index_entries_read <= 2
