"""The state of the outbox: backlog, outcomes of the last 24 hours, providers, pauses and relays."""

from datetime import timedelta

from sqlalchemy import case, func, select, text
from sqlalchemy.orm import Session

from operator_console.filters import is_active_pause, is_paused_provider
from operator_console.views import BacklogView, HourView, PauseView, ProviderView, RelayView, Stats, from_row
from shared.models import PauseRow, ProviderRow, RelayRow
from shared.vocabulary import CHANNELS, PROVIDER_CONFIGURED_SECONDS, RELAY_ALIVE_SECONDS, Priority

MAX_COUNT = 100_000
"""Where counting of pending and dead messages stops: a larger figure is not worth its time."""

# The oldest due message is the first of its priority in the index. Among more than :most pending messages, the oldest
# one is that of the counted ones.
BACKLOG = text("""
select channel, counted.pending,
       coalesce(extract(epoch from now() - counted.oldest_at), 0)::float8 as oldest_pending_seconds,
       (select count(*) from (
            select from outbox_messages as message
             where message.channel = asked.channel and priority = any(:priorities) and status = 'pending'
               and due_at <= now() limit :most) as due) as due,
       (select coalesce(extract(epoch from now() - min(oldest.due_at)), 0)::float8
          from unnest(cast(:priorities as text[])) as known (priority)
         cross join lateral (
               select due_at from outbox_messages as message
                where message.channel = asked.channel and message.priority = known.priority and status = 'pending'
                  and due_at <= now() and (leased_until is null or leased_until <= now())
                order by due_at limit 1) as oldest) as lag_seconds
  from unnest(cast(:channels as text[])) as asked (channel)
 cross join lateral (
       select count(*) as pending, min(created_at) as oldest_at from (
            select created_at from outbox_messages as message
             where message.channel = asked.channel and status = 'pending' limit :most) as pending) as counted
""")
DEAD = text("""
select count(*)
  from (select from outbox_messages where status = 'dead' and dead_reason <> 'discarded' limit :most) as dead
""")
HOURS = text("""
select asked.hour, channel,
       coalesce((select messages from hourly_stats as by_hour
                  where by_hour.hour = asked.hour and by_hour.channel = known.channel and status = 'sent'), 0) as sent,
       coalesce((select messages from hourly_stats as by_hour
                  where by_hour.hour = asked.hour and by_hour.channel = known.channel and status = 'dead'), 0) as dead
  from generate_series(date_trunc('hour', now(), 'UTC') - interval '23 hours', now(), interval '1 hour') as asked (hour)
 cross join unnest(cast(:channels as text[])) as known (channel)
 order by asked.hour, channel
""")


def stats(session: Session) -> Stats:
    """Return the state of the outbox; each count stops at MAX_COUNT."""
    dead = session.scalar(DEAD, {"most": MAX_COUNT}) or 0
    return Stats(
        at=session.scalars(select(func.now())).one(),
        backlog=backlog(session),
        dead=dead,
        is_dead_capped=dead == MAX_COUNT,
        hours=hours(session),
        providers=list_providers(session),
        pauses=list_pauses(session),
        relays=list_relays(session),
    )


def backlog(session: Session) -> tuple[BacklogView, ...]:
    """Return the backlog by channel."""
    parameters = {"channels": list(CHANNELS), "priorities": list(Priority), "most": MAX_COUNT}
    return tuple(
        from_row(BacklogView, row, is_capped=row.pending == MAX_COUNT) for row in session.execute(BACKLOG, parameters)
    )


def hours(session: Session) -> tuple[HourView, ...]:
    """Return the outcomes of each of the last 24 hours by channel, the current hour last."""
    return tuple(HourView(**row) for row in session.execute(HOURS, {"channels": list(CHANNELS)}).mappings())


def list_providers(session: Session) -> tuple[ProviderView, ...]:
    """Return the state of the providers that a running relay has configured, by name. Times are the database's."""
    breaker = case(
        (ProviderRow.consecutive_opens == 0, "closed"),
        (ProviderRow.open_until > func.now(), "open"),
        else_="half_open",
    )
    is_configured = ProviderRow.seen_at > func.now() - timedelta(seconds=PROVIDER_CONFIGURED_SECONDS)
    query = select(ProviderRow, breaker, is_paused_provider()).where(is_configured).order_by(ProviderRow.name)
    return tuple(
        from_row(ProviderView, row, provider=row.name, breaker=breaker, is_paused=is_paused)
        for row, breaker, is_paused in session.execute(query)
    )


def provider_names(session: Session) -> list[str]:
    """Return the names of all providers that a relay ever had: old messages may name a removed one."""
    return list(session.scalars(select(ProviderRow.name).order_by(ProviderRow.name)))


def list_pauses(session: Session) -> tuple[PauseView, ...]:
    """Return the pauses that have not ended, by kind and name."""
    query = select(PauseRow).where(is_active_pause()).order_by(PauseRow.kind, PauseRow.name)
    return tuple(from_row(PauseView, row) for row in session.scalars(query))


def list_relays(session: Session) -> tuple[RelayView, ...]:
    """Return the relays with a recent heartbeat, by host and then by age. Times are the database's."""
    is_alive = RelayRow.seen_at > func.now() - timedelta(seconds=RELAY_ALIVE_SECONDS)
    query = select(RelayRow).where(is_alive).order_by(RelayRow.host, RelayRow.started_at, RelayRow.id)
    return tuple(from_row(RelayView, row, channels=tuple(row.channels)) for row in session.scalars(query))
