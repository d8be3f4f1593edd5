"""Maintenance enqueues security notices in each round, and deletes old clients, events and counters."""

from concurrent.futures import ThreadPoolExecutor

from tests.support.maintenance import maintenance_on, one_turn, turn
from tests.support.outbox import Outbox

A_USER = """
insert into users (id, status, email, email_canonical, email_verified_at, password_hash, locale)
select gen_random_uuid(), 'active', 'ada@example.org', 'ada@example.org', now(), 'x', 'en'
"""
AN_EVENT = """
insert into security_events (id, user_id, kind, key_id, occurred_at)
select gen_random_uuid(), id, 'token_reuse', 'test', now() - %s * interval '1 day' from users
"""
NOTICES = "select count(*) from outbox_messages where template = 'token_reuse'"


def test_each_round_enqueues_notices_without_a_pause(outbox: Outbox) -> None:
    outbox.execute(A_USER)
    maintenance = maintenance_on(outbox)
    for count in range(3):
        one_turn(maintenance)
        assert outbox.number(NOTICES) == count
        outbox.execute("update security_events set notified_at = notified_at - interval '1 hour'")
        outbox.execute(AN_EVENT, 0)


def test_a_call_enqueues_no_more_notices_than_its_batch(outbox: Outbox) -> None:
    for name in ("ada", "bea", "cay"):
        outbox.execute(A_USER.replace("ada@", f"{name}@"))
    outbox.execute(AN_EVENT, 0)
    assert [outbox.number("select signpost_enqueue_notices(2)") for _ in range(3)] == [2, 1, 0]


def test_events_are_deleted_that_a_notice_does_not_list(outbox: Outbox) -> None:
    outbox.execute(A_USER)
    for _ in range(25):
        outbox.execute(AN_EVENT, 0)
    outbox.execute("select signpost_enqueue_notices(1)")
    assert outbox.number("select count(*) from security_events where notified_at is not null") == 20
    assert outbox.number("select count(*) from security_events") == 20
    outbox.execute(AN_EVENT, 0)
    assert outbox.number("select signpost_enqueue_notices(1)") == 0


def test_a_notice_lists_each_event_that_is_marked_as_reported(outbox: Outbox) -> None:
    users = 300
    each = A_USER.replace("'ada@example.org'", "n || '@example.org'")
    outbox.execute(f"{each} from generate_series(1, {users}) n")
    outbox.execute(AN_EVENT, 0)
    # While a call runs, events are added at any moment of it.
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(outbox.number, f"select signpost_enqueue_notices({users})")
        for _ in range(15):
            outbox.execute(AN_EVENT, 0)
        assert call.result() == users
    marked = "select count(*) from security_events where notified_at is not null"
    listed = "select sum(jsonb_array_length(payload -> 'events')) from outbox_messages where template = 'token_reuse'"
    assert outbox.number(marked) == outbox.number(listed)


def test_a_notice_is_in_this_week_s_partition(outbox: Outbox) -> None:
    outbox.execute(A_USER)
    outbox.execute(AN_EVENT, 0)
    outbox.execute("select signpost_enqueue_notices(1)")
    assert outbox.number("select count(*) from outbox_messages_default") == 0
    assert outbox.number(f"{NOTICES} and id > signpost_uuid7_floor(now() - interval '1 minute')") == 1


def test_old_clients_events_and_counters_are_deleted(outbox: Outbox) -> None:
    outbox.execute(A_USER)
    seen = (
        "insert into seen_clients (user_id, hash, kind, last_seen_at)"
        " select id, sha256(random()::text::bytea), 'device', now() - %s * interval '1 day' from users"
    )
    wrong = "insert into wrong_passwords (id, last_at) values (gen_random_uuid(), now() - %s * interval '1 day')"
    for statement, kept, deleted in ((seen, 89, 91), (AN_EVENT, 6, 8), (wrong, 6, 8)):
        for days in (kept, deleted, deleted):
            outbox.execute(statement, days)
    turn(maintenance_on(outbox))
    tables = ("seen_clients", "security_events", "wrong_passwords")
    assert [outbox.number(f"select count(*) from {table}") for table in tables] == [1, 1, 1]


def test_a_call_deletes_no_more_rows_than_its_batch(outbox: Outbox) -> None:
    outbox.execute(A_USER)
    for _ in range(3):
        outbox.execute(AN_EVENT, 8)
    assert [outbox.number("select signpost_prune_security_events(2)") for _ in range(3)] == [2, 1, 0]


def test_events_and_counters_are_deleted_with_their_user(outbox: Outbox) -> None:
    outbox.execute(A_USER)
    outbox.execute(AN_EVENT, 0)
    outbox.execute("insert into wrong_passwords (id) select id from users")
    outbox.execute("delete from users")
    assert outbox.number("select count(*) from security_events") == 0
    assert outbox.number("select count(*) from wrong_passwords") == 0
