"""The plans of the two statements that run for every message, under the worst assumptions.

psycopg's automatic preparation ends in generic plans, and servers without tuning have a random_page_cost of 4.
"""

import re
from typing import Any

import psycopg
import pytest
from psycopg import sql

from outbox_relay.db.connection import SETTINGS
from outbox_relay.delivery.fallback import DUE
from outbox_relay.delivery.poller import POLL, poll_parameters
from outbox_relay.delivery.reports import FIND
from outbox_relay.model import Failure, FailureClass, Retry, Sent
from outbox_relay.outbox.claim import (
    CLAIM,
    CLAIM_SUSPECT,
    FIND_SUSPECT,
    KNOWN_VALUES,
    NO_ID,
    RECLAIM,
    RECLAIM_SUSPECT,
    suspect_parameters,
)
from outbox_relay.outbox.heartbeat import Heartbeat
from outbox_relay.outbox.settle import (
    SETTLE_SENT,
    SETTLE_SENT_WITHOUT_LEASE,
    SETTLE_UNSENT,
    sent_parameters,
    sent_without_lease_parameters,
    unsent_parameters,
)
from shared.db.connection_settings import driver_url, set_in_transaction
from shared.ids import uuid7
from shared.vocabulary import Channel
from tests.support.outbox import A_DAY, Outbox

PARTITIONS = 4
"""The partitions of three weeks, and the default one."""
A_RELAY = Heartbeat(uuid7(), "host", "1.0", ("email",), 500, 8)
DUE_INDEX = "_channel_priority_due_at_id_idx"
SUSPECTS_INDEX = "_due_at_id_idx"


@pytest.fixture
def full_outbox(outbox: Outbox) -> Outbox:
    outbox.put(count=3000, status="'sent'", settled_at="now()")
    outbox.put(count=300)
    outbox.execute("analyze")
    return outbox


def test_the_claim_reads_the_due_index_in_order_and_one_partition_by_key(full_outbox: Outbox) -> None:
    plan = generic_plan(full_outbox, CLAIM, CLAIM_PARAMETERS)
    picked, _, updated = plan.partition("InitPlan")
    assert rows_read(plan, "Seq Scan") == []
    assert picked.count("_channel_priority_due_at_id_idx") == PARTITIONS
    assert "Sort  (" not in picked
    assert len(rows_read(updated, "_pkey")) == 1


def test_the_claim_starts_at_its_cursor_also_among_messages_due_at_the_same_moment(full_outbox: Outbox) -> None:
    picked, _, _ = generic_plan(full_outbox, CLAIM, CLAIM_PARAMETERS).partition("InitPlan")
    conditions = [line for line in picked.splitlines() if "Index Cond" in line]
    assert len(conditions) == PARTITIONS
    assert all("(ROW(due_at, id) >= ROW(" in condition for condition in conditions)


def test_reports_find_their_messages_by_key_or_by_the_providers_id(full_outbox: Outbox) -> None:
    full_outbox.put(count=2000, channel="sms", status="'sent'", settled_at="now()", provider_message_id="id::text")
    full_outbox.execute(
        "insert into delivery_reports (id, deduplication_key, message_id, provider, provider_message_id, kind, source)"
        " select gen_random_uuid(), sha256(random()::text::bytea), case channel when 'email' then id end, 'twilio:api',"
        "        provider_message_id, 'delivered', 'twilio' from outbox_messages"
        " where channel = 'email' or provider_message_id is not null limit 3000"
    )
    full_outbox.execute("analyze")
    plan = generic_plan(full_outbox, FIND, {"age": 600.0, "limit": 500, "has_keys": True, "erased": "erased"})
    assert [line for line in rows_read(plan, "Seq Scan") if "outbox_messages" in line] == []
    assert "_pkey" in plan
    assert "provider_message_id_idx" in plan


def test_a_search_without_suspects_reads_no_message(outbox: Outbox) -> None:
    outbox.put(count=3000)
    outbox.execute("analyze")
    plan = generic_plan(outbox, FIND_SUSPECT, SUSPECT_PARAMETERS)
    assert rows_read(plan, "Seq Scan") == []
    assert rows_read(plan, "_channel_priority_due_at_id_idx") == []
    assert len(rows_read(plan, "_due_at_id_idx")) == PARTITIONS
    assert "Rows Removed" not in plan


def test_a_suspect_is_claimed_by_its_index_in_one_partition(full_outbox: Outbox) -> None:
    full_outbox.put(count=3, lost_leases="2")
    lease = {"lease": "1 minute", "lease_token": uuid7()}
    plan = generic_plan(full_outbox, CLAIM_SUSPECT, suspect_parameters([Channel.EMAIL]) | lease)
    _, _, updated = plan.partition("InitPlan")
    assert rows_read(plan, "_channel_priority_due_at_id_idx") == []
    assert rows_read(plan, "Seq Scan") == []
    assert len(rows_read(plan, "_due_at_id_idx")) == PARTITIONS
    assert len(rows_read(updated, "_pkey")) == 1


@pytest.mark.parametrize(("statement", "index"), [(RECLAIM, DUE_INDEX), (RECLAIM_SUSPECT, SUSPECTS_INDEX)])
def test_messages_leased_under_a_lost_reply_are_found_by_the_due_index(
    full_outbox: Outbox, statement: str, index: str
) -> None:
    full_outbox.put(count=3, lost_leases="2")
    plan = generic_plan(full_outbox, statement, CLAIM_PARAMETERS)
    assert rows_read(plan, "Seq Scan") == []
    assert plan.count(index) == PARTITIONS


def test_the_settlement_finds_its_rows_by_key_in_their_partition(full_outbox: Outbox) -> None:
    sent = [(message, Sent("smtp")) for message in full_outbox.claim(10)]
    for statement, parameters in (
        (SETTLE_SENT, sent_parameters(sent)),
        (SETTLE_SENT_WITHOUT_LEASE, sent_without_lease_parameters(sent)),
    ):
        plan = generic_plan(full_outbox, statement, parameters)
        assert rows_read(plan, "Seq Scan") == []
        assert len(rows_read(plan, "_pkey")) == 1


def test_a_settlement_of_retries_reads_no_other_pending_message(full_outbox: Outbox) -> None:
    failure = Failure(FailureClass.TRANSIENT, "smtp", "450")
    retries = [(message, Retry(A_DAY, failure)) for message in full_outbox.claim(10)]
    plan = generic_plan(full_outbox, SETTLE_UNSENT, unsent_parameters(retries))
    assert rows_read(plan, "_channel_priority_due_at_id_idx") == []
    assert rows_read(plan, "Seq Scan") == []


def test_a_claim_does_not_scan_a_partition_with_empty_statistics(outbox: Outbox) -> None:
    outbox.execute("vacuum analyze")
    outbox.put(count=3000)
    picked, _, _ = generic_plan(outbox, CLAIM, CLAIM_PARAMETERS).partition("InitPlan")
    assert "_channel_priority_due_at_id_idx" in picked
    assert "Sort Method" not in picked


def test_the_search_for_fallbacks_reads_only_candidates(full_outbox: Outbox) -> None:
    falls_back = {"fallback_channel": "'sms'", "fallback_lifetime": "'600 s'"}
    full_outbox.put(count=300, fallback_at="now() + interval '1 h'", **falls_back)
    full_outbox.put(count=3, fallback_at="now()", **falls_back)
    plan = generic_plan(full_outbox, DUE, {"limit": 100})
    assert rows_read(plan, "Seq Scan") == []
    assert "Sort  (" not in plan
    assert [line for line in rows_read(plan, "_fallback_at_idx") if "actual rows=3" in line]


def test_a_poll_reads_at_most_one_message_of_each_queue(full_outbox: Outbox) -> None:
    plan = generic_plan(full_outbox, POLL, poll_parameters(["smtp:mail.example.org:587"], A_RELAY, is_full_scan=True))
    assert rows_read(plan, "Seq Scan") == []
    assert "Sort  (" not in plan
    read = rows_read(plan, "_channel_priority_due_at_id_idx")
    assert read
    assert all(float(re.findall(r"actual rows=([0-9.]+)", line)[0]) <= 1 for line in read)


def test_a_poll_without_a_full_scan_does_not_read_the_due_index(full_outbox: Outbox) -> None:
    plan = generic_plan(full_outbox, POLL, poll_parameters(["smtp:mail.example.org:587"], A_RELAY, is_full_scan=False))
    assert rows_read(plan, "_channel_priority_due_at_id_idx") == []


def test_no_statement_of_the_relay_is_jit_compiled(full_outbox: Outbox) -> None:
    sent = [(message, Sent("smtp")) for message in full_outbox.claim(10)]
    for statement, parameters in ((CLAIM, CLAIM_PARAMETERS), (SETTLE_SENT, sent_parameters(sent))):
        assert "JIT" not in generic_plan(full_outbox, statement, parameters)


CLAIM_PARAMETERS = KNOWN_VALUES | {
    "channel": "email",
    "priority": "high",
    "cursor_due_at": "2020-01-01T00:00:00Z",
    "cursor_id": NO_ID,
    "limit": 10,
    "lease": "1 minute",
    "lease_token": uuid7(),
}


SUSPECT_PARAMETERS = suspect_parameters([Channel.EMAIL])


def rows_read(plan: str, how: str) -> list[str]:
    """Return the plan lines of executed scans of that kind on the outbox."""
    return [
        line
        for line in plan.splitlines()
        if "Scan" in line and how in line and " on outbox_messages" in line and "never executed" not in line
    ]


def generic_plan(outbox: Outbox, statement: str, parameters: dict[str, Any]) -> str:
    used = {name: value for name, value in parameters.items() if f"%({name})s" in statement}
    numbers = {name: f"${position}" for position, name in enumerate(used, start=1)}
    numbered = re.sub(r"%\((\w+)\)s", lambda match: numbers[match[1]], statement)
    values = sql.SQL(", ").join(map(sql.Literal, used.values()))
    with psycopg.connect(driver_url(outbox.database.owner_url)) as connection:
        connection.execute(set_in_transaction(SETTINGS))
        connection.execute("set plan_cache_mode = force_generic_plan")
        connection.execute("set random_page_cost = 4")
        connection.execute(f"prepare statement as {numbered}")
        explain = sql.SQL("explain (analyze, timing off) execute statement ({})").format(values)
        return "\n".join(line for (line,) in connection.execute(explain).fetchall())
