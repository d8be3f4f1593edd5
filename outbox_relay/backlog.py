"""What is due: how many messages, and how old the oldest is."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import product

from psycopg import AsyncConnection

from outbox_relay.messages import LaneKey
from outbox_relay.metrics import BACKLOG, BACKLOG_LAG
from shared.vocabulary import CHANNELS, AnyChannel, Urgency

# Also what relays have in hand: to leave it out, all rows would have to be read, and not the due index alone. It is
# little beside what waits; a channel of which nothing waits is not counted.
COUNT = """
select (select count(*)
          from outbox_messages
         where channel = lane.channel and urgency = lane.urgency and status = 'pending' and due_at <= now())
  from unnest(%(lane_channels)s::text[], %(lane_urgencies)s::text[]) with ordinality as lane (channel, urgency, number)
 order by number
"""


def lanes_of(channels: Iterable[AnyChannel]) -> list[LaneKey]:
    """Return all lanes of these channels."""
    return [LaneKey(channel, urgency) for channel, urgency in product(channels, Urgency)]


def lane_parameters(keys: Collection[LaneKey]) -> dict[str, list[str]]:
    """Return what a statement needs that asks about these lanes, one by one."""
    return {
        "lane_channels": [key.channel.value for key in keys],
        "lane_urgencies": [key.urgency.value for key in keys],
    }


async def backlog(channels: Iterable[AnyChannel], connection: AsyncConnection) -> Counter[AnyChannel]:
    """Return how many messages are due in each of these channels, in hand or not."""
    keys = lanes_of(channels)
    cursor = await connection.execute(COUNT, lane_parameters(keys))
    found: Counter[AnyChannel] = Counter()
    for key, (due,) in zip(keys, await cursor.fetchall(), strict=True):
        found[key.channel] += due
    return found


def tell_backlog(found: Mapping[AnyChannel, int]) -> None:
    """Tell how many are due, for each of these channels."""
    for channel, due in found.items():
        BACKLOG.labels(channel.value).set(due)


def tell_lag(lags: Mapping[LaneKey, float]) -> None:
    """Tell for how many seconds the oldest has been due that no relay has in hand, for each channel."""
    for channel in CHANNELS:
        ages = [lag for key, lag in lags.items() if key.channel == channel]
        BACKLOG_LAG.labels(channel.value).set(max(ages, default=0.0))
