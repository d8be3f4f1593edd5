"""Maintenance deletes expired sessions and keeps active ones."""

from tests.support.maintenance import maintenance_on, turn
from tests.support.outbox import Outbox

A_USER = """
insert into users (id, email, email_canonical, password_hash, locale)
values (gen_random_uuid(), 'ada@example.org', 'ada@example.org', 'x', 'en')
"""
A_SESSION = """
insert into sessions (id, user_id, family_hash, refresh_hash, created_at, expires_at)
select gen_random_uuid(), id, sha256(random()::text::bytea), sha256(random()::text::bytea),
       now() - interval '80 days', now() + %s * interval '1 day'
  from users, generate_series(1, %s)
"""


def put(outbox: Outbox, days: int, *, count: int = 1) -> None:
    outbox.execute(A_SESSION, days, count)


def test_expired_sessions_are_deleted_and_active_ones_stay(outbox: Outbox) -> None:
    outbox.execute(A_USER)
    put(outbox, -1, count=3)
    put(outbox, 10, count=2)
    turn(maintenance_on(outbox))
    assert outbox.number("select count(*) from sessions") == 2
    assert outbox.number("select count(*) from sessions where expires_at > now()") == 2


def test_a_call_prunes_no_more_sessions_than_its_batch(outbox: Outbox) -> None:
    outbox.execute(A_USER)
    put(outbox, -1, count=5)
    assert [outbox.number("select signpost_prune_sessions(2)") for _ in range(4)] == [2, 2, 1, 0]


def test_sessions_are_deleted_with_their_user(outbox: Outbox) -> None:
    outbox.execute(A_USER)
    put(outbox, 10)
    outbox.execute("delete from users")
    assert outbox.number("select count(*) from sessions") == 0
