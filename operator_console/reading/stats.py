"""How the outbox stands now, and what came of its messages in the last 24 hours."""

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from operator_console.reading.providers import list_providers
from operator_console.reading.relays import list_relays
from operator_console.views import BacklogView, HourView, Stats
from shared.vocabulary import CHANNELS, Urgency

MOST_COUNTED = 100_000
"""Of a channel's pending messages, and of the dead: beyond that, a figure is no longer worth its time."""

# The oldest due message stands first in its urgency's part of the index.
BACKLOG = text("""
select channel,
       (select count(*) from (
            select from outbox_messages as message
             where message.channel = asked.channel and status = 'pending' limit :most) as pending) as pending,
       (select count(*) from (
            select from outbox_messages as message
             where message.channel = asked.channel and urgency = any(:urgencies) and status = 'pending'
               and due_at <= now() limit :most) as due) as due,
       (select coalesce(extract(epoch from now() - min(oldest.due_at)), 0)::float8
          from unnest(cast(:urgencies as text[])) as known (urgency)
         cross join lateral (
               select due_at from outbox_messages as message
                where message.channel = asked.channel and message.urgency = known.urgency and status = 'pending'
                  and due_at <= now() and (leased_until is null or leased_until <= now())
                order by due_at limit 1) as oldest) as lag_seconds
  from unnest(cast(:channels as text[])) as asked (channel)
""")
DEAD = text("select count(*) from (select from outbox_messages where status = 'dead' limit :most) as dead")
HOURS = text("""
select asked.hour, channel,
       coalesce((select messages from settled_by_hour as by_hour
                  where by_hour.hour = asked.hour and by_hour.channel = known.channel and status = 'sent'), 0) as sent,
       coalesce((select messages from settled_by_hour as by_hour
                  where by_hour.hour = asked.hour and by_hour.channel = known.channel and status = 'dead'), 0) as dead
  from generate_series(date_trunc('hour', now(), 'UTC') - interval '23 hours', now(), interval '1 hour') as asked (hour)
 cross join unnest(cast(:channels as text[])) as known (channel)
 order by asked.hour, channel
""")


def stats(session: Session) -> Stats:
    """Return how the outbox stands; each count ends at MOST_COUNTED."""
    dead = session.scalar(DEAD, {"most": MOST_COUNTED}) or 0
    return Stats(
        at=session.scalars(select(func.now())).one(),
        backlog=backlog(session),
        dead=dead,
        is_more_dead=dead == MOST_COUNTED,
        hours=hours(session),
        providers=list_providers(session),
        relays=list_relays(session),
    )


def backlog(session: Session) -> tuple[BacklogView, ...]:
    """Return what waits, by channel."""
    asked = {"channels": list(CHANNELS), "urgencies": list(Urgency), "most": MOST_COUNTED}
    return tuple(
        BacklogView(
            channel=row.channel,
            due=row.due,
            pending=row.pending,
            is_more=row.pending == MOST_COUNTED,
            lag_seconds=row.lag_seconds,
        )
        for row in session.execute(BACKLOG, asked)
    )


def hours(session: Session) -> tuple[HourView, ...]:
    """Return what came of messages in each of the last 24 hours, the present one last, by channel."""
    return tuple(HourView(**row) for row in session.execute(HOURS, {"channels": list(CHANNELS)}).mappings())
