"""The statements of claims: one part picks messages, one leases them, one returns their columns."""

from collections.abc import Collection
from typing import Any

from outbox_relay.model import QueueKey
from outbox_relay.outbox.scan_cursor import IndexPosition
from shared.vocabulary import TEMPLATES, AnyChannel, Locale, Priority

TABLE = "outbox_messages"

# An expired lease needs no cleanup: the row is still due, and no lease hides it any longer.
# - Claiming changes no indexed column, least of all due_at: so PostgreSQL writes the new version beside the old
#   one and leaves all indexes alone, which is half of what a message costs in WAL.
# - The cursor is a position in the due index, down to the id: thousands of messages of one transaction share due_at.
# - The CTE runs once; as a plain subquery the planner may rerun it per row and lock more than the limit.
# - "id = any(array(...))" stays an index scan under a generic plan, where a join becomes a hash join over a
#   sequential scan; the bounds beside it let the other partitions be pruned.
# - Relays of a newer release claim the templates and locales that this release does not know.
# - now() is stable and so an index condition; clock_timestamp() would be a filter on every pending row.
# - A due message with a lease token has lost that lease; the claim counts it.
IN_QUEUE = """channel = %(channel)s and priority = %(priority)s and status = 'pending'
       and (due_at, id) >= (%(cursor_due_at)s, %(cursor_id)s) and due_at <= now()"""
HAS_LOST_LEASES = "status = 'pending' and lost_leases >= 1 and due_at <= now()"
IS_FREE = "(leased_until is null or leased_until <= now())"
IS_KNOWN = "template = any(%(templates)s) and locale = any(%(locales)s)"
IS_OWN = "lease_token = %(lease_token)s"

# The first condition on the lost_leases is that of the index of suspects: any message that has lost a lease.
IS_SUSPECT = f"""{HAS_LOST_LEASES}
       and lost_leases + (lease_token is not null)::integer >= 2
       and {IS_FREE}
       and channel = any(%(channels)s) and priority = any(%(priorities)s)
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
    f"""{IN_QUEUE}
       and {IS_FREE}
       and lost_leases + (lease_token is not null)::integer < 2
       and {IS_KNOWN}""",
    limit="%(limit)s",
)
PICK_SUSPECT = _picking(IS_SUSPECT, limit="1")

# After a lost answer: the same conditions as a claim, except for the one that hides leased rows.
PICK_OWN = _picking(f"{IN_QUEUE} and {IS_OWN}", limit="%(limit)s")
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

# A person waits for a message that comes alone. Its claim does not wait for the disk, as its settlement soon will.
# A server that crashes in between forgets one lease; with a batch it would be hundreds.
LONE_IS_QUICK = """, quick as materialized (
    select set_config('synchronous_commit', 'off', true) from picked having count(*) = 1)
"""

# Intervals count from the start of the statement. Behind a pooler, its transaction started before the relay read
# its own clock, and the lease would end sooner than the relay assumes.
LEASE = f"""
update {TABLE}
   set lease_token = %(lease_token)s,
       leased_until = statement_timestamp() + %(lease)s,
       lost_leases = lost_leases + (lease_token <> %(lease_token)s is true)::integer
 where id = any(array(select id from picked))
"""  # noqa: S608 - put together from our own
# These bounds let PostgreSQL prune the other partitions.
AMONG_PARTITIONS = """
   and id >= (select id from picked order by id limit 1)
   and id <= (select id from picked order by id desc limit 1)
"""
# date_part, since the standard's extract gives numeric, which takes four times as long to be made a float8.
RETURNING = """
returning id, template, channel, recipient, locale, payload, token_id, attempt, max_attempts, lost_leases,
          created_at, expires_at,
          date_part('epoch', expires_at - statement_timestamp()) as seconds_left,
          date_part('epoch', statement_timestamp() - created_at) as age_seconds,
          due_at, now() as claimed_at
"""

LEASE_PICKED = LEASE + AMONG_PARTITIONS + RETURNING

IS_QUICK = ", (select count(*) from quick) as is_quick"
TRACE = ", traceparent"
"""Only read while traces are recorded."""
CLAIM = PICK_DUE + LONE_IS_QUICK + LEASE_PICKED + IS_QUICK
CLAIM_TRACED = CLAIM + TRACE
CLAIM_SUSPECT = PICK_SUSPECT + LEASE_PICKED
RECLAIM = PICK_OWN + LONE_IS_QUICK + LEASE_PICKED + IS_QUICK
RECLAIM_SUSPECT = PICK_OWN_SUSPECT + LEASE_PICKED

# Written as PostgreSQL arrays: for lists, psycopg inspects the type of each value, 50 µs for every claim.
KNOWN_VALUES = {"templates": f"{{{','.join(TEMPLATES)}}}", "locales": f"{{{','.join(Locale)}}}"}


def claim_parameters(key: QueueKey, begin_at: IndexPosition, limit: int) -> dict[str, Any]:
    """Return the parameters of CLAIM and RECLAIM, apart from the lease."""
    return KNOWN_VALUES | {
        "channel": key.channel.value,
        "priority": key.priority.value,
        "cursor_due_at": begin_at[0],
        "cursor_id": begin_at[1],
        "limit": limit,
    }


def suspect_parameters(channels: Collection[AnyChannel]) -> dict[str, Any]:
    """Return the parameters that the statements about suspects share."""
    return KNOWN_VALUES | {
        "priorities": [priority.value for priority in Priority],
        "channels": [channel.value for channel in channels],
    }
