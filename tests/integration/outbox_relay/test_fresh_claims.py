"""What was committed just now is claimed from today's partition alone; all else is left to claims of anything."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from outbox_relay import floor, today
from outbox_relay.claims import Claims
from outbox_relay.database import Lifeline
from outbox_relay.messages import LaneKey
from shared.vocabulary import Channel, Urgency
from tests.support.eventually import eventually
from tests.support.outbox import A_DAY, Outbox
from tests.support.upkeep import put_old

KEY = LaneKey(Channel.EMAIL, Urgency.CODE)

WAITING = "select pid from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'outbox-relay%'"

Look = Callable[[Claims], Awaitable[int]]


async def any_due(claims: Claims) -> int:
    return len(await claims.claim(KEY, 10))


async def fresh(claims: Claims) -> int:
    return len(await claims.claim_fresh(KEY, 10))


@pytest.fixture(autouse=True)
def _at_any_time_of_the_day(monkeypatch: pytest.MonkeyPatch, outbox: Outbox) -> None:
    monkeypatch.setattr(today, "CLOCKS_DIFFER", timedelta(0))
    outbox.make_days_partitions()


def put_then_look(outbox: Outbox, *looks: Look) -> list[int]:
    """Put a message before each look, and return how many each has found."""

    async def run(lifeline: Lifeline) -> list[int]:
        claims, found = Claims(lifeline, A_DAY), []
        for look in looks:
            outbox.put()
            found.append(await look(claims))
        return found

    return outbox.with_lifeline(run)


def put_yesterdays(outbox: Outbox) -> None:
    """Put a message that was made yesterday, and is due now."""
    put_old(outbox, 1, status="'pending'", settled_at="null")


def todays_partition() -> str:
    return f"outbox_messages_{datetime.now(UTC):%Y%m%d}"


def test_what_was_just_committed_is_claimed_once(outbox: Outbox) -> None:
    assert put_then_look(outbox, fresh, fresh, any_due) == [1, 1, 1]


def test_what_was_made_on_another_day_is_left_to_claims_of_anything(outbox: Outbox) -> None:
    put_yesterdays(outbox)
    assert put_then_look(outbox, fresh, fresh, any_due) == [1, 1, 2]


def test_what_a_look_at_what_is_fresh_passes_by_is_not_taken_for_seen(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "FLOOR_MARGIN", timedelta(0))
    monkeypatch.setattr(floor, "SWEEP_SECONDS", 3600.0)

    async def with_one_of_yesterday_due_in_between(lifeline: Lifeline) -> list[int]:
        claims = Claims(lifeline, A_DAY)
        found = [await any_due(claims)]
        put_yesterdays(outbox)
        outbox.put()
        return [*found, await fresh(claims), await any_due(claims)]

    outbox.put()
    assert outbox.with_lifeline(with_one_of_yesterday_due_in_between) == [1, 1, 1]


def test_messages_that_come_singly_raise_the_floor_of_claims_of_anything(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "SWEEP_SECONDS", 3600.0)

    async def singly(lifeline: Lifeline) -> list[int]:
        claims = Claims(lifeline, A_DAY)
        found = [await any_due(claims)]
        outbox.put()
        found.append(await fresh(claims))
        outbox.put(due_at="now() - interval '1 minute'")
        found.append(await any_due(claims))
        claims.sweep_soon(KEY)
        return [*found, await any_due(claims)]

    assert outbox.with_lifeline(singly) == [0, 1, 0, 1], "what is due below the floor only a sweep finds"


def test_a_partition_that_takes_too_long_is_left_to_claims_of_anything(outbox: Outbox) -> None:
    async def locked(lifeline: Lifeline) -> list[int]:
        claims = Claims(lifeline, A_DAY)
        with outbox.database.connect() as owner, owner.transaction():
            owner.execute(f"lock table {todays_partition()} in access exclusive mode")
            claiming = asyncio.create_task(fresh(claims))
            pid = await asyncio.to_thread(eventually, lambda: next(iter(outbox.execute(WAITING)), None))
            outbox.execute("select pg_cancel_backend(%s)", *pid)
            again = await asyncio.to_thread(
                eventually, lambda: [one for one in outbox.execute(WAITING) if one != pid] or None
            )
        assert again
        return [await claiming]

    outbox.put()
    assert outbox.with_lifeline(locked) == [1]


@pytest.mark.parametrize(
    "trouble",
    ["revoke all on {partition} from signpost_relay", "alter table {partition} rename to elsewhere"],
    ids=["not allowed", "not there"],
)
def test_a_partition_that_cannot_be_asked_costs_no_message(
    outbox: Outbox, trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox.execute(trouble.format(partition=todays_partition()))
    assert put_then_look(outbox, fresh, fresh) == [1, 1]
    assert "".join(capsys.readouterr()).count("partition not asked by itself") == 1


def test_a_partition_of_a_later_day_may_be_claimed_from_as_well(outbox: Outbox) -> None:
    outbox.execute("select signpost_make_partition(date_trunc('day', now(), 'UTC') + interval '30 days')")
    [(may_read, may_lease, may_delete)] = outbox.execute(
        "select has_table_privilege('signpost_relay', made, 'select'),"
        " has_column_privilege('signpost_relay', made, 'lease_token', 'update'),"
        " has_table_privilege('signpost_relay', made, 'delete')"
        " from (select max(inhrelid::regclass::text) as made from pg_inherits"
        " where inhparent = 'outbox_messages'::regclass and inhrelid::regclass::text ~ '\\d{8}$') as latest"
    )
    assert (may_read, may_lease, may_delete) == (True, True, False)
