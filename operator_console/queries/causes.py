"""Dead messages by cause, without discarded ones, and bounced messages by cause.

Replies that differ only in addresses and ids have the same cause.
"""

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from operator_console.views import BounceCauses, BounceCauseView, Causes, CauseView

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

BOUNCE_DAYS = 7
MAX_BOUNCES = 50_000
"""More would take more than a second: each diagnostic is matched against a pattern."""

# A partial index has the bounces by the time they were received.
BOUNCE_CAUSES = text("""
select signpost_cause(cause, status_code, diagnostic) as bounce_cause, count(distinct message_id) as messages,
       min(cause) as cause, min(status_code) as status_code,
       signpost_error_pattern(min(diagnostic collate "C")) as diagnostic,
       min(received_at) as first_seen, max(received_at) as last_seen,
       max(message_id::text collate "C")::uuid as newest_id, sum(count(*)) over () as counted
  from (select cause, status_code, diagnostic, received_at, message_id
          from delivery_reports
         where kind = 'bounced' and applied_at is not null and ignored_because is null
           and received_at > now() - make_interval(days => :days)
         order by received_at desc limit :most_bounces) as recent
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


def list_bounce_causes(session: Session) -> BounceCauses:
    """Count the messages that bounced in the last BOUNCE_DAYS by cause, largest first."""
    asked = {"days": BOUNCE_DAYS, "most_bounces": MAX_BOUNCES, "most": MAX_CAUSES + 1}
    rows = session.execute(BOUNCE_CAUSES, asked).mappings().all()
    causes = tuple(BounceCauseView(**{name: row[name] for name in row if name != "counted"}) for row in rows)
    return BounceCauses(
        causes[:MAX_CAUSES],
        is_complete=len(causes) <= MAX_CAUSES and not any(row["counted"] >= MAX_BOUNCES for row in rows),
        counted_at=session.scalars(select(func.now())).one(),
    )
