"""How many messages were sent and died, by hour and channel, for operators to look back on.

A relay adds to the counts every few seconds, apart from its settles: those write not a byte more. What a relay has
counted and not yet written when it is killed is lost; so the counts are good for a chart, and the outbox for the rest.
"""

from collections import Counter as Tally
from collections.abc import Iterable

from psycopg import AsyncConnection

from outbox_relay.model import Dead, Sent, Settlement
from shared.vocabulary import Status

WRITE_SECONDS = 10.0
KEPT_DAYS = 31

# In the order of the key, so that two relays cannot wait for each other.
ADD = """
with added as (
    insert into settled_by_hour as counted (hour, channel, status, messages)
    select date_trunc('hour', now(), 'UTC'), channel, status, messages
      from unnest(%s::text[], %s::text[], %s::bigint[]) as told (channel, status, messages)
     order by channel, status
    on conflict (hour, channel, status) do update set messages = counted.messages + excluded.messages)
delete from settled_by_hour where hour < now() - make_interval(days => %s)
"""

Counts = dict[tuple[str, str], int]


class HourlyStats:
    """What this process has counted and not yet written."""

    def __init__(self) -> None:
        self._counts: Tally[tuple[str, str]] = Tally()

    def count(self, settlements: Iterable[Settlement]) -> None:
        """Count those that were sent or died, as they are written."""
        for message, outcome in settlements:
            match outcome:
                case Sent():
                    self._counts[message.channel.value, Status.SENT.value] += 1
                case Dead():
                    self._counts[message.channel.value, Status.DEAD.value] += 1
                case _:
                    pass

    def take(self) -> Counts:
        """Return what is to be written, and forget it."""
        counts, self._counts = dict(self._counts), Tally()
        return counts

    def give_back(self, counts: Counts) -> None:
        """Count again what could not be written."""
        self._counts.update(counts)


HOURLY_STATS = HourlyStats()
"""The process's own, as its metrics are: it outlives a reload."""


async def add_to_hours(counts: Counts, connection: AsyncConnection) -> None:
    """Add the counts to those of the present hour."""
    channels, statuses = ([key[part] for key in counts] for part in (0, 1))
    await connection.execute(ADD, [channels, statuses, list(counts.values()), KEPT_DAYS])
