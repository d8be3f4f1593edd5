"""Actions on many messages have the same result as on each alone, with the statements of one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from devstack.cluster import Cluster
from operator_console.actions.audit import Action
from operator_console.actions.bulk import BulkAction, BulkPlan, start_bulk, step_bulk
from operator_console.actions.discard import discard
from operator_console.actions.requeue import requeue
from operator_console.filters import MessageFilter
from tests.support.databases import fresh_database
from tests.support.eventually import eventually
from tests.support.keys import KEY_ID
from tests.support.operators import AUDIT, a_token_of, a_user, console_of, outboxctl, put_dead
from tests.support.outbox import Outbox

ON_ONE: dict[Action, Callable[[Session, UUID, Any], object]] = {Action.REQUEUE: requeue, Action.DISCARD: discard}
EXPIRED = "update tokens set created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day'"
STANDS = "to_jsonb(message) - 'id' - 'user_id' - 'token_id' - array['due_at', 'expires_at', 'created_at', 'settled_at']"
"""A message's state without its own ids and times."""
AUDITED = """
select action, operator, reason, coalesce(state, before), after
  from operator_actions
  left join lateral unnest(message_ids, array(select jsonb_array_elements(states))) as step (id, state) on true
 where coalesce(message_id, step.id) is not null
 order by coalesce(message_id, step.id)
"""
IS_WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[Outbox]:
    with fresh_database(cluster) as database:
        yield Outbox(database)


@pytest.fixture
def outbox(shared: Outbox) -> Outbox:
    shared.execute("truncate outbox_messages, operator_actions, bulk_actions, users cascade")
    return shared


@pytest.fixture
def console(outbox: Outbox) -> Iterator[sessionmaker[Session]]:
    with console_of(outbox.database) as sessions:
        yield sessions


def put_with_codes(outbox: Outbox, count: int) -> list[UUID]:
    """Put dead messages, each about another user with an expired code."""
    users = [a_user(outbox, f"{number}@example.org") for number in range(count)]
    ids = [
        put_dead(outbox, user_id=user, token_id=a_token_of(outbox, user), recipient=f"'{number}@example.org'")[0]
        for number, user in enumerate(users)
    ]
    outbox.execute(EXPIRED)
    return ids


def done(console: sessionmaker[Session], action: Action = Action.REQUEUE) -> BulkAction:
    """Act on all dead messages in one step."""
    with console.begin() as session:
        started_bulk = start_bulk(session, BulkPlan(action, MessageFilter(), is_all=True), AUDIT)
    with console.begin() as session:
        return step_bulk(session, started_bulk.id)


@contextmanager
def counted(console: sessionmaker[Session]) -> Iterator[list[str]]:
    """Record the console's statements; executemany counts once per parameter set."""
    noted: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, is_many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's signature
        noted.extend([statement] * (len(parameters) if is_many else 1))

    engine = console.kw["bind"]
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield noted
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("action", ON_ONE)
def test_a_step_needs_as_many_statements_for_many_messages_as_for_two(
    outbox: Outbox, console: sessionmaker[Session], action: Action
) -> None:
    numbers = []
    for count in (2, 30):
        put_with_codes(outbox, count)
        with counted(console) as statements:
            assert done(console, action).acted == count
        numbers.append(len(statements))
        outbox.execute("truncate outbox_messages, users cascade")
    assert numbers[0] == numbers[1] <= 20, statements


@pytest.mark.parametrize("action", ON_ONE)
def test_single_and_bulk_actions_have_the_same_result_and_audit(
    outbox: Outbox, console: sessionmaker[Session], action: Action
) -> None:
    standing, audited = [], []
    for is_alone in (True, False):
        ids = [*put_with_codes(outbox, 1), *put_dead(outbox, recipient="'0@example.org'", dead_reason="'exhausted'")]
        if is_alone:
            for message_id in ids:
                with console.begin() as session:
                    ON_ONE[action](session, message_id, AUDIT)
        else:
            done(console, action)
        standing.append(outbox.execute(f"select {STANDS} from outbox_messages as message order by id"))
        audited.append(outbox.execute(AUDITED))
        outbox.execute("truncate outbox_messages, operator_actions, users cascade")
    assert standing[0] == standing[1]
    assert audited[0] == audited[1]
    assert len(audited[0]) == len(ids)


def test_each_message_carries_its_users_code_and_messages_of_one_user_share_it(
    outbox: Outbox, console: sessionmaker[Session]
) -> None:
    put_with_codes(outbox, 2)
    outbox.execute(
        "insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, token_id,"
        " max_attempts, status, dead_reason, settled_at) select gen_random_uuid(), template, channel, recipient,"
        " locale, payload, user_id, token_id, 8, 'dead', 'rejected', now() from outbox_messages"
    )
    assert done(console).acted == 4
    found = outbox.execute(
        "select tokens.user_id = message.user_id, tokens.expires_at > now(), tokens.expires_at = message.expires_at,"
        " tokens.key_id = message.payload->>'key_id', count(*)"
        " from outbox_messages as message join tokens on tokens.id = token_id group by 1, 2, 3, 4"
    )
    assert found == [(True, True, True, True, 4)]
    assert outbox.number("select count(distinct token_id) from outbox_messages") == 2
    assert outbox.number("select count(*) from tokens") == 4


def test_valid_codes_are_reused_and_missing_tokens_leave_messages_unchanged(
    outbox: Outbox, console: sessionmaker[Session]
) -> None:
    user = a_user(outbox, "0@example.org")
    living = a_token_of(outbox, user)
    put_dead(outbox, user_id=user, token_id=living, recipient="'0@example.org'")
    put_dead(outbox, token_id=(gone := f"'{UUID(int=7)}'"), expires_at="'2020-01-01 00:00Z'")
    assert done(console).acted == 2
    kept = outbox.execute("select token_id, expires_at < now() from outbox_messages order by id")
    assert [(f"'{token_id}'", has_expired) for token_id, has_expired in kept] == [(living, False), (gone, True)]
    assert outbox.number("select count(*) from tokens") == 1


def test_messages_that_changed_before_their_lock_are_skipped_and_counted(
    outbox: Outbox, console: sessionmaker[Session]
) -> None:
    [closed, requeued, _] = put_dead(outbox, count=3)
    with ThreadPoolExecutor(1) as thread:
        with outbox.database.connect() as other, other.transaction():
            other.execute("lock table outbox_messages in exclusive mode")
            other.execute("update outbox_messages set dead_reason = 'discarded' where id = %s", [closed])
            # Requeued and dead again: the message matches, but died after the start.
            other.execute("update outbox_messages set settled_at = now() + interval '1 s' where id = %s", [requeued])
            stepping = thread.submit(done, console)
            eventually(lambda: outbox.number(IS_WAITING))
        one = stepping.result()
    assert (one.found, one.acted, one.skipped) == (3, 1, 2)
    assert outbox.number("select count(*) from operator_actions where action = 'requeue'") == 1
    assert outbox.row(closed).dead_reason == "discarded"


def test_only_the_messages_that_the_database_refuses_are_skipped(
    outbox: Outbox, console: sessionmaker[Session]
) -> None:
    ids = put_with_codes(outbox, 9)
    # Their registrations were corrected, so the database refuses a code to the old address.
    odd = [ids[0], ids[4], ids[5]]
    outbox.execute(
        "update users set email = 'x' || email where id in (select user_id from outbox_messages where id = any(%s))",
        odd,
    )
    one = done(console)
    assert (one.acted, one.skipped, one.status) == (6, 3, "done")
    still_dead = outbox.execute("select id from outbox_messages where status = 'dead' order by id")
    assert [message_id for (message_id,) in still_dead] == odd
    audited = outbox.execute("select unnest(message_ids) from operator_actions order by 1")
    assert [message_id for (message_id,) in audited] == [message_id for message_id in ids if message_id not in odd]
    assert outbox.number("select count(*) from tokens") == 9 + 6


def test_a_step_is_repeated_after_a_deadlock(outbox: Outbox) -> None:
    put_dead(outbox, count=3)
    outbox.execute(
        "create sequence times;"
        "grant usage on times to public;"
        "create function give_way() returns trigger language plpgsql as $$ begin"
        " if nextval('times') <= 2 then raise exception using errcode = 'deadlock_detected'; end if;"
        " return new; end $$;"
        "create trigger give_way before update on outbox_messages for each row execute function give_way()"
    )
    try:
        result = outboxctl(outbox.database, "requeue", "--all", "--yes", "--reason", "mended")
    finally:
        outbox.execute("drop trigger give_way on outbox_messages")
    assert (result.exit_code, result.stdout) == (0, "3 dead messages\n3 requeued\n")
    assert outbox.execute("select cardinality(message_ids) from operator_actions where action = 'requeue'") == [(3,)]


def test_an_outdated_schema_is_reported_and_skips_no_message(outbox: Outbox) -> None:
    put_with_codes(outbox, 2)
    outbox.execute("alter function signpost_newest_key() rename to signpost_unknown")
    try:
        result = outboxctl(outbox.database, "requeue", "--all", "--yes", "--reason", "mended")
    finally:
        outbox.execute("alter function signpost_unknown() rename to signpost_newest_key")
    assert (result.exit_code, "api-service migrate" in result.stderr) == (1, True)
    assert outbox.execute("select status, acted, skipped from bulk_actions") == [("running", 0, 0)]


@pytest.mark.parametrize(("payload", "key_id"), [('{"key_id": "newest"}', "newest"), ("{}", KEY_ID)])
def test_a_new_code_uses_the_newest_key(
    outbox: Outbox, console: sessionmaker[Session], payload: str, key_id: str
) -> None:
    [message_id] = put_with_codes(outbox, 1)
    outbox.put(payload=f"'{payload}'")
    assert done(console).acted == 1
    row = outbox.row(message_id)
    assert row.payload == {"name": "Ada", "key_id": key_id}
    assert outbox.execute("select key_id from tokens where id = %s", row.token_id) == [(key_id,)]


def test_a_corrected_registration_gets_a_code_with_the_newest_key(outbox: Outbox) -> None:
    [message_id] = put_with_codes(outbox, 1)
    outbox.put(payload="""'{"key_id": "newest"}'""")
    result = outboxctl(outbox.database, "requeue", str(message_id), "--to", "ada@example.org", "--reason", "a slip")
    assert result.exit_code == 0, result.output
    row = outbox.row(message_id)
    assert (row.recipient, row.payload["key_id"]) == ("ada@example.org", "newest")
    assert outbox.execute("select key_id from tokens where id = %s", row.token_id) == [("newest",)]
