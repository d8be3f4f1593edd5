"""Counts of sent and dead messages by hour and channel, for operators.

A relay adds to the counts every few seconds, apart from its settlements. If the relay is killed, counts that are not
written yet are lost. So use these counts for charts, and the outbox for exact numbers.
"""

from collections import Counter as Tally
from collections.abc import Iterable

import psycopg

from outbox_relay.db.connection import ReconnectingConnection, RelayConnection
from outbox_relay.model import Dead, Sent, Settlement
from shared.vocabulary import Status

HOURLY_STATS_SECONDS = 10.0
KEPT_DAYS = 31
TIMEOUT_SECONDS = 2.0
"""These counts must not delay a relay that stops."""

# Rows are inserted in key order, so that two relays cannot deadlock.
ADD = """
with added as (
    insert into hourly_stats as counted (hour, channel, status, messages)
    select date_trunc('hour', now(), 'UTC'), channel, status, messages
      from unnest(%s::text[], %s::text[], %s::bigint[]) as new (channel, status, messages)
     order by channel, status
    on conflict (hour, channel, status) do update set messages = counted.messages + excluded.messages)
delete from hourly_stats where hour < now() - make_interval(days => %s)
"""

Counts = dict[tuple[str, str], int]


class HourlyStats:
    """The counts of this process that are not written yet."""

    def __init__(self) -> None:
        self._counts: Tally[tuple[str, str]] = Tally()

    def count(self, settlements: Iterable[Settlement]) -> None:
        """Count the sent and the dead messages."""
        for message, outcome in settlements:
            match outcome:
                case Sent():
                    self._counts[message.channel.value, Status.SENT.value] += 1
                case Dead():
                    self._counts[message.channel.value, Status.DEAD.value] += 1
                case _:
                    pass

    def add(self, counts: Counts) -> None:
        """Add to the counts to write."""
        self._counts.update(counts)

    def take(self) -> Counts:
        """Return the counts to write, and reset them."""
        counts, self._counts = dict(self._counts), Tally()
        return counts

    async def write(self, database: ReconnectingConnection) -> None:
        """Write the counts since the last time, if there are any. After a failure, they wait for the next write."""
        if counts := self.take():
            try:
                await database.once(lambda connection: add_to_hours(counts, connection), within=TIMEOUT_SECONDS)
            except psycopg.Error:
                self.add(counts)


HOURLY_STATS = HourlyStats()
"""One for the process, like its metrics: it outlives a reload."""


async def add_to_hours(counts: Counts, connection: RelayConnection) -> None:
    """Add the counts to those of the present hour."""
    channels, statuses = ([key[part] for key in counts] for part in (0, 1))
    await connection.execute(ADD, [channels, statuses, list(counts.values()), KEPT_DAYS])
