"""Today's partition is asked by its name, but not where clocks may disagree on the day."""

from datetime import UTC, datetime, timedelta

import pytest

from outbox_relay.claim_statements import claim_of
from outbox_relay.today import A_WHILE, CLOCKS_DIFFER, TABLE, Today

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
A_MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("now", "partition"),
    [
        (MIDNIGHT + CLOCKS_DIFFER, "outbox_messages_20260301"),
        (MIDNIGHT - CLOCKS_DIFFER - A_MOMENT, "outbox_messages_20260228"),
        (MIDNIGHT + CLOCKS_DIFFER - A_MOMENT, None),
        (MIDNIGHT - CLOCKS_DIFFER, None),
    ],
)
def test_a_day_has_its_partition_but_for_some_minutes_around_midnight(now: datetime, partition: str | None) -> None:
    assert Today().partition(now) == partition


def test_a_partition_that_cannot_be_used_is_left_alone_for_a_while_but_not_that_of_the_next_day() -> None:
    today, noon = Today(), MIDNIGHT + timedelta(hours=12)
    name = today.partition(noon)
    today.leave_for_a_while(noon)
    assert today.partition(noon) is None
    assert today.partition(noon + A_WHILE - A_MOMENT) is None
    assert today.partition(noon + A_WHILE) == name
    late = MIDNIGHT - CLOCKS_DIFFER - A_MOMENT
    today.partition(late)
    today.leave_for_a_while(late)
    assert today.partition(MIDNIGHT + CLOCKS_DIFFER) == "outbox_messages_20260301"


def test_a_claim_of_a_partition_speaks_of_no_other_table() -> None:
    of_all, claim = (claim_of(table, is_traced=False) for table in (TABLE, f"{TABLE}_20260301"))
    assert claim.count(f"{TABLE}_20260301") == claim.count(TABLE) == of_all.count(TABLE) > 1
