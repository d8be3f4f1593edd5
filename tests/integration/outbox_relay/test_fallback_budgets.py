"""Budgets for SMS fallbacks, and their state after a crash."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import REGISTRY

from outbox_relay.model import Budgets, Dead, Failure, FailureClass
from shared.vocabulary import Channel, DeadReason
from tests.support.api import ApiUnderTest, shared_api
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.fallbacks import AMPLE, budgets_of, fall_back
from tests.support.outbox import Outbox

REJECTED = Dead(DeadReason.REJECTED, Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 5.1.1 no such user"))
HELD_UP = """
select pid from pg_stat_activity
 where datname = current_database() and usename = 'relay' and wait_event_type = 'Lock'
"""
FRENCH, OTHER_FRENCH, GERMAN = "+33612345678", "+33687654321", "+4915123456789"


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database, ACTIVATION_FALLBACK="both") as api:
        yield api


def refused_mails(api: ApiUnderTest, outbox: Outbox, *numbers: str) -> None:
    """Register a person for each number, and reject their mails."""
    for place, number in enumerate(numbers):
        api.registered(email=f"ada{place}@example.org", phone=number)
    outbox.settle([(message, REJECTED) for message in outbox.claim(len(numbers))])


def numbers_written_to(outbox: Outbox) -> list[str]:
    rows = outbox.execute("select recipient from outbox_messages where fallback_of is not null order by recipient")
    return [number for (number,) in rows]


@pytest.mark.parametrize(
    ("budgets", "written_to"),
    [
        (budgets_of(total=9, per_prefix=9, per_number=1), [FRENCH, OTHER_FRENCH, GERMAN]),
        (budgets_of(total=9, per_prefix=2, per_number=9), [FRENCH, FRENCH, GERMAN]),
        (budgets_of(total=1, per_prefix=9, per_number=9), [FRENCH]),
        (budgets_of(total=0, per_prefix=9, per_number=9), []),
    ],
)
def test_no_message_falls_back_beyond_a_budget_and_rejected_ones_cost_none(
    api: ApiUnderTest, outbox: Outbox, budgets: Budgets, written_to: list[str]
) -> None:
    refused_mails(api, outbox, FRENCH, FRENCH, OTHER_FRENCH, GERMAN)

    assert fall_back(api.database, budgets) == len(written_to)

    assert numbers_written_to(outbox) == written_to
    assert outbox.number("select coalesce(sum(spent), 0) from fallback_budgets where scope = 'total'") == len(
        written_to
    )
    assert outbox.number("select count(*) from tokens where channel = 'sms'") == len(written_to)


def test_a_stored_number_that_is_no_longer_valid_falls_back_like_others(api: ApiUnderTest, outbox: Outbox) -> None:
    premium = "+19005550100"
    assert api.register(phone=premium).status_code == 422
    refused_mails(api, outbox, FRENCH)
    api.rows("update users set phone = %s", premium)

    assert fall_back(api.database) == 1
    assert numbers_written_to(outbox) == [premium]


def test_a_fallback_rejected_by_a_budget_stays_rejected(api: ApiUnderTest, outbox: Outbox) -> None:
    refused_mails(api, outbox, FRENCH)
    assert fall_back(api.database, budgets_of(total=0, per_prefix=1, per_number=1)) == 0
    assert fall_back(api.database, AMPLE) == 0


def test_concurrent_relays_share_one_budget(api: ApiUnderTest, outbox: Outbox) -> None:
    refused_mails(api, outbox, *[FRENCH, OTHER_FRENCH, GERMAN] * 4)
    assert fall_back(api.database, budgets_of(total=5, per_prefix=9, per_number=9), relays=4) == 5
    assert len(numbers_written_to(outbox)) == 5


def test_each_day_has_a_new_budget_and_deletes_older_ones(api: ApiUnderTest, outbox: Outbox) -> None:
    one_each = budgets_of(total=1, per_prefix=1, per_number=1)
    refused_mails(api, outbox, FRENCH)
    assert fall_back(api.database, one_each) == 1
    outbox.execute("update fallback_budgets set day = day - 2")
    refused_mails(api, outbox, FRENCH)
    assert fall_back(api.database, one_each) == 1
    assert outbox.number("select count(distinct day) from fallback_budgets") == 1


def test_mails_have_no_budget(api: ApiUnderTest, outbox: Outbox) -> None:
    api.registered(email="ada@example.org", phone=FRENCH, channel="sms")
    outbox.settle([(message, REJECTED) for message in outbox.claim(channel=Channel.SMS)])
    assert fall_back(api.database, budgets_of(total=0, per_prefix=0, per_number=0)) == 1


def test_the_counts_contain_no_number(api: ApiUnderTest, outbox: Outbox) -> None:
    refused_mails(api, outbox, FRENCH)
    fall_back(api.database)
    scopes = {scope for (scope,) in outbox.execute("select scope from fallback_budgets")}
    assert {"total", "prefix:33"} < scopes
    assert [scope for scope in scopes if "612345678" in scope] == []


def test_each_rejection_by_a_budget_is_counted(api: ApiUnderTest, outbox: Outbox) -> None:
    refused_mails(api, outbox, FRENCH, OTHER_FRENCH, GERMAN)
    before = over_budget("prefix")
    fall_back(api.database, budgets_of(total=9, per_prefix=0, per_number=9))
    assert over_budget("prefix") - before == 3


def over_budget(scope: str) -> float:
    return REGISTRY.get_sample_value("signpost_fallbacks_over_budget_total", {"scope": scope}) or 0.0


def test_a_relay_that_dies_before_the_commit_leaves_the_fallback_to_the_next(api: ApiUnderTest, outbox: Outbox) -> None:
    refused_mails(api, outbox, FRENCH)
    with ThreadPoolExecutor() as pool, api.database.connect() as owner, api.database.connect() as other:
        other.execute("begin")
        other.execute("lock table fallback_budgets in exclusive mode")
        looking = pool.submit(fall_back, api.database)
        [(held_up,)] = eventually(lambda: owner.execute(HELD_UP).fetchall())
        owner.execute("select pg_terminate_backend(%s, 10000)", [held_up])
        assert numbers_written_to(outbox) == []
        assert outbox.number("select count(*) from outbox_messages where fallback_at <= now()") == 1
        other.execute("rollback")
        # Only the connection was lost. The same process now does what any other relay would do.
        assert looking.result(timeout=30) == 1
    assert numbers_written_to(outbox) == [FRENCH]
    assert outbox.execute("select scope, spent from fallback_budgets where scope = 'total'") == [("total", 1)]
