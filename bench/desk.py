"""What operators ask and do, of an outbox with a million messages of which one in twenty is dead, of twelve causes."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from bench.goals import DESK_MILLISECONDS, DESK_PAGES
from bench.ground import Ground
from bench.plans import readings_of
from bench.report import Report, median
from bench.sizes import Size
from bench.states import state_database, with_settled
from bench.usage import cpu_seconds
from operator_console.acting import Act, Action, BulkPlan, BulkStatus, begin_bulk, step_bulk
from operator_console.filters import MessageFilter
from operator_console.reading import list_actions, list_causes, list_messages, list_providers, show_message, stats
from shared.engine import create_database_engine
from shared.vocabulary import Channel, DeadReason, Status

STATE = "state_desk"
REPEATS = 3
A_PAGE = 500
REQUEUED = 5_000
FEW = 10
ONE_DEAD_IN = 20

# Twelve causes in many thousands of wordings: addresses, queue ids and host names differ.
KILLED = """
with causes as (
    select array['550 5.1.1 <%s>: Recipient address rejected: User unknown in local recipient table',
                 '550 5.1.1 The email account that you tried to reach does not exist. %s - gsmtp',
                 '552 5.2.2 %s mailbox full', '554 5.7.1 Service unavailable; client host [%s] blocked',
                 '550 5.7.1 %s message refused by policy', '550 5.4.1 %s: Access denied'] as errors)
update outbox_messages as message
   set status = 'dead',
       dead_reason = case (kind / 6) when 0 then 'rejected' else 'exhausted' end,
       last_error_class = 'recipient',
       last_error = replace(errors[kind % 6 + 1], '%s',
                            md5(message.id::text) || '@' || left(md5(message.recipient), 5) || '.example.org')
  from causes, (
       select id, abs(hashtext(id::text)) % 12 as kind from outbox_messages
        where abs(hashtext(id::text || 'dead')) % {one_in} = 0) as killed
 where message.id = killed.id
""".replace("{one_in}", str(ONE_DEAD_IN))
HOURS = """
insert into settled_by_hour
select hour, channel, status, 40000
  from generate_series(date_trunc('hour', now()) - interval '30 days', now(), interval '1 hour') as hour,
       unnest(array['email', 'sms']) as channel, unnest(array['sent', 'dead']) as status
"""

Question = Callable[[Session], object]


def desk(ours: Ground, size: Size) -> Report:
    """Measure each question, and lists to their last page, by what the database takes for all its statements."""
    with state_database(ours, STATE, with_settled(ours, size.beside.settled)) as connection:
        connection.execute(KILLED)
        connection.execute(HOURS)
        connection.execute("vacuum analyze")
        engine = create_database_engine(ours.cluster.url(STATE, "console"), application_name="desk", pool_size=2)
        try:
            return _asked(engine) | _requeued(engine, ours.cluster_pid)
        finally:
            engine.dispose()


def _asked(engine: Engine) -> Report:
    report: Report = {}
    slowest = 0.0
    for name, question in _questions(engine):
        milliseconds, rows = _measured(engine, question)
        report[f"desk: {name}"] = {"ms": milliseconds, "rows read": rows}
        slowest = max(slowest, milliseconds)
    pages = [_measured(engine, page, repeats=1) for page in _pages(engine)]
    first, last = (median(milliseconds for milliseconds, _ in some) for some in (pages[:FEW], pages[-FEW - 1 : -1]))
    most = max(rows for _, rows in pages)
    report[f"desk: {len(pages)} pages of {A_PAGE} dead"] = {"first, ms": first, "last, ms": last, "most rows": most}
    return report | {DESK_MILLISECONDS: slowest, DESK_PAGES: last / first}


def _requeued(engine: Engine, store_pid: int) -> Report:
    """Requeue what is dead without a rate, in the steps that the console makes of it, or as much as is enough."""
    made, act = sessionmaker(engine), Act("bench", "measured")
    with made.begin() as session:
        bulk = begin_bulk(session, BulkPlan(Action.REQUEUE, MessageFilter(), is_all=True), act)
    began, own, stores = time.monotonic(), time.process_time(), cpu_seconds(store_pid)
    while bulk.status == BulkStatus.RUNNING and bulk.acted < REQUEUED:
        with made.begin() as session:
            bulk = step_bulk(session, bulk.id)
    seconds, own, stores = time.monotonic() - began, time.process_time() - own, cpu_seconds(store_pid) - stores
    return {
        "desk: bulk requeue without a rate, messages/s": bulk.acted / seconds,
        "  CPU of who carries it on, ms a message": own / bulk.acted * 1000,
        "  and PostgreSQL's, ms": stores / bulk.acted * 1000,
    }


def _measured(engine: Engine, question: Question, repeats: int = REPEATS) -> tuple[float, float]:
    """Return milliseconds, the least of several, and rows read: of all statements of the question together."""
    asked = [readings_of(engine, question) for _ in range(repeats)]
    rows = sum(reading.rows for reading in asked[-1])
    return min(sum(reading.milliseconds for reading in readings) for readings in asked), float(rows)


def _questions(engine: Engine) -> Iterator[tuple[str, Question]]:
    with Session(engine) as session:
        found = list_causes(session)
        newest = found.causes[0]
    dead = MessageFilter(status=Status.DEAD)
    yield "status", stats
    yield "groups", list_causes
    yield "list", _listing(MessageFilter())
    yield "list --status dead", _listing(dead)
    yield "list --cause", _listing(MessageFilter(cause=newest.cause))
    yield "list --dead-reason", _listing(MessageFilter(dead_reason=DeadReason.EXHAUSTED))
    yield "list, of dead ones, by a provider that had none", _listing(MessageFilter(Status.DEAD, provider="smtp:x:25"))
    yield "list --channel sms, of which there are none", _listing(MessageFilter(channel=Channel.SMS))
    yield "list --recipient, of an unknown one", _listing(MessageFilter(recipient="nobody@example.org"))
    yield "show", partial(show_message, message_id=newest.newest_id)
    yield "providers", list_providers
    yield "audit", list_actions


def _listing(wanted: MessageFilter, cursor: UUID | None = None, limit: int = 50) -> Question:
    return partial(list_messages, wanted=wanted, cursor=cursor, limit=limit)


def _pages(engine: Engine) -> Iterator[Question]:
    """Yield the question for each page of the dead, to the last."""
    wanted, cursor = MessageFilter(status=Status.DEAD), None
    with Session(engine) as session:
        while True:
            yield _listing(wanted, cursor, limit=A_PAGE)
            cursor = list_messages(session, wanted, limit=A_PAGE, cursor=cursor).next_cursor
            session.rollback()
            if cursor is None:
                return
