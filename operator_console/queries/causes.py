"""Dead messages by cause, without discarded ones. Replies that differ only in addresses and ids have the same cause."""

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from operator_console.views import Causes, CauseView

MAX_CAUSES = 500
"""More than an operator reads through."""

# An index-only scan answers this. Errors of one cause share one pattern, so any of them (here the minimum) will do.
# Ids are compared as text because uuids have no max() before PostgreSQL 18.
CAUSES = text("""
select signpost_cause(dead_reason, provider, last_error) as cause, count(*) as messages,
       min(dead_reason collate "C") as dead_reason, min(provider collate "C") as provider,
       signpost_error_pattern(min(last_error collate "C")) as error,
       min(settled_at) as first_seen, max(settled_at) as last_seen, max(id::text collate "C")::uuid as newest_id
  from outbox_messages
 where status = 'dead' and dead_reason <> 'discarded'
 group by 1
 order by 2 desc, 1
 limit :most
""")

# The planner underestimates signpost_cause() and would compute it for each dead row instead of reading it, already
# sorted, from the index. Without hashing and sorting, the index is its only way to group.
WITHOUT_HASH_AND_SORT = text("select set_config('enable_hashagg', 'off', true), set_config('enable_sort', 'off', true)")


def list_causes(session: Session) -> Causes:
    """Count dead messages by cause, largest first. Use a separate transaction, because it changes planner settings."""
    session.execute(WITHOUT_HASH_AND_SORT)
    rows = session.execute(CAUSES, {"most": MAX_CAUSES + 1}).mappings().all()
    causes = tuple(CauseView(**row) for row in rows)
    return Causes(
        causes[:MAX_CAUSES],
        is_complete=len(causes) <= MAX_CAUSES,
        counted_at=session.scalars(select(func.now())).one(),
    )
