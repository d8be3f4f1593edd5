"""The statements of claims: what picks messages, what leases those picked, and what each is told."""

from collections.abc import Collection
from typing import Any

from outbox_relay.model import QueueKey
from outbox_relay.outbox.scan_cursor import IndexPosition
from shared.vocabulary import TEMPLATES, AnyChannel, Locale, Urgency

TABLE = "outbox_messages"

# An expired lease needs no rescue: the row is due as it always was, and no lease hides it any longer.
# - Claiming changes no indexed column, least of all due_at: so PostgreSQL writes the new version beside the old
#   one and leaves all indexes alone, which is half of what a message costs in WAL.
# - The floor is a place in the due index, down to the id: thousands of one transaction are due at the same moment.
# - The CTE runs once; as a plain subquery the planner may rerun it per row and lock more than the limit.
# - "id = any(array(...))" stays an index scan under a generic plan, where a join becomes a hash join over a
#   sequential scan; the bounds beside it let the other partitions be pruned.
# - Templates and locales unknown to this release are left to a newer one's relays.
# - now() is stable and so an index condition; clock_timestamp() would be a filter on every pending row.
# - What is due and has a lease token lost that lease, counted only now.
IN_LANE = """channel = %(channel)s and urgency = %(urgency)s and status = 'pending'
       and (due_at, id) >= (%(floor)s, %(floor_id)s) and due_at <= now()"""
HAS_LOST_LEASES = "status = 'pending' and expiries >= 1 and due_at <= now()"
IS_FREE = "(leased_until is null or leased_until <= now())"
IS_KNOWN = "template = any(%(templates)s) and locale = any(%(locales)s)"
IS_OWN = "lease_token = %(lease_token)s"

# The first condition on the expiries is that of the index of suspects: any message that has lost a lease.
IS_SUSPECT = f"""{HAS_LOST_LEASES}
       and expiries + (lease_token is not null)::integer >= 2
       and {IS_FREE}
       and channel = any(%(channels)s) and urgency = any(%(urgencies)s)
       and {IS_KNOWN}"""


def _picking(condition: str, limit: str) -> str:
    return f"""
with picked as materialized (
    select id, due_at
      from {TABLE}
     where {condition}
     order by due_at, id
     limit {limit}
       for update skip locked)
"""  # noqa: S608 - put together from our own


PICK_DUE = _picking(
    f"""{IN_LANE}
       and {IS_FREE}
       and expiries + (lease_token is not null)::integer < 2
       and {IS_KNOWN}""",
    limit="%(limit)s",
)
PICK_SUSPECT = _picking(IS_SUSPECT, limit="1")

# Those whose answer was lost: as the claims themselves pick, but for what hides a leased row from those.
PICK_OWN = _picking(f"{IN_LANE} and {IS_OWN}", limit="%(limit)s")
PICK_OWN_SUSPECT = _picking(f"{HAS_LOST_LEASES} and {IS_OWN}", limit="1")

# Ordered, so that the planner keeps to that index, which gives the order. It takes a third of all pending messages for
# suspects and would else read the table, sure to find one soon: with 100,000 pending and no suspect, 76 ms against 1.
FIND_SUSPECT = f"""
select id
  from {TABLE}
 where {IS_SUSPECT}
 order by due_at, id
 limit 1
"""  # noqa: S608 - put together from our own

# A message that comes alone is a person waiting: its claim need not wait for the disk, as its settle soon will. A
# server that crashes in between forgets one lease, where a batch would be hundreds.
LONE_IS_QUICK = """, quick as materialized (
    select set_config('synchronous_commit', 'off', true) from picked having count(*) = 1)
"""

# Intervals count from when the statement came in: behind a pooler its transaction began before the relay looked at
# its own clock, and the lease would end sooner than it believes.
LEASE = f"""
update {TABLE}
   set lease_token = %(lease_token)s,
       leased_until = statement_timestamp() + %(lease)s,
       expiries = expiries + (lease_token <> %(lease_token)s is true)::integer
 where id = any(array(select id from picked))
"""  # noqa: S608 - put together from our own
# So that the other partitions are pruned.
AMONG_PARTITIONS = """
   and id >= (select id from picked order by id limit 1)
   and id <= (select id from picked order by id desc limit 1)
"""
# date_part, since the standard's extract gives numeric, which takes four times as long to be made a float8.
RETURNING = """
returning id, template, channel, recipient, locale, payload, token_id, attempt, max_attempts, expiries,
          created_at, expires_at,
          date_part('epoch', expires_at - statement_timestamp()) as seconds_left,
          date_part('epoch', statement_timestamp() - created_at) as age_seconds,
          due_at, now() as claimed_at
"""

LEASE_PICKED = LEASE + AMONG_PARTITIONS + RETURNING

IS_QUICK = ", (select count(*) from quick) as is_quick"
TRACE = ", traceparent"
"""Where traces are recorded; everybody else is spared the column."""
CLAIM = PICK_DUE + LONE_IS_QUICK + LEASE_PICKED + IS_QUICK
CLAIM_TRACED = CLAIM + TRACE
CLAIM_SUSPECT = PICK_SUSPECT + LEASE_PICKED
CLAIM_AGAIN = PICK_OWN + LONE_IS_QUICK + LEASE_PICKED + IS_QUICK
CLAIM_SUSPECT_AGAIN = PICK_OWN_SUSPECT + LEASE_PICKED

# As PostgreSQL writes its arrays: of lists, psycopg looks at each word for its type, 50 µs for every claim.
KNOWN_WORDS = {"templates": f"{{{','.join(TEMPLATES)}}}", "locales": f"{{{','.join(Locale)}}}"}


def claim_parameters(key: QueueKey, begin_at: IndexPosition, limit: int) -> dict[str, Any]:
    """Return what such a statement needs beside a lease."""
    floor, floor_id = begin_at
    return KNOWN_WORDS | {
        "channel": key.channel.value,
        "urgency": key.urgency.value,
        "floor": floor,
        "floor_id": floor_id,
        "limit": limit,
    }


def suspect_parameters(channels: Collection[AnyChannel]) -> dict[str, Any]:
    """Return what the statements about suspects have in common."""
    return KNOWN_WORDS | {
        "urgencies": [urgency.value for urgency in Urgency],
        "channels": [channel.value for channel in channels],
    }
