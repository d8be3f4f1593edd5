"""What messages died of: replies that differ in addresses, numbers and ids only are one cause."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from operator_console.views import Causes, CauseView

MOST_CAUSES = 500
"""Each costs a probe of every partition's index; beyond that many, grouping has lost its use."""

# The planner does not skip from one value of an index to the next by itself, and would make the cause of each dead
# row anew: so each value is looked up behind the one before it, and only then the rows below it are counted.
CAUSES = text("""
with recursive cause (id, number) as (
    (select signpost_cause(dead_reason, provider, last_error), 1
       from outbox_messages where status = 'dead'
      order by signpost_cause(dead_reason, provider, last_error) limit 1)
    union all
    select (select signpost_cause(dead_reason, provider, last_error)
              from outbox_messages
             where status = 'dead' and signpost_cause(dead_reason, provider, last_error) > cause.id
             order by signpost_cause(dead_reason, provider, last_error) limit 1), number + 1
      from cause where cause.id is not null and number <= :most)
select cause.id as cause, counted.messages, newest.dead_reason, newest.provider, newest.error,
       newest.last_error_class, counted.first_seen, counted.last_seen, newest.id as newest_id
  from cause
 cross join lateral (
       select count(*) as messages, min(settled_at) as first_seen, max(settled_at) as last_seen
         from outbox_messages
        where status = 'dead' and signpost_cause(dead_reason, provider, last_error) = cause.id) as counted
 cross join lateral (
       select id, dead_reason, provider, last_error_class, signpost_error_pattern(last_error) as error
         from outbox_messages
        where status = 'dead' and signpost_cause(dead_reason, provider, last_error) = cause.id
        order by id desc limit 1) as newest
 order by counted.messages desc, cause.id
""")


def list_causes(session: Session) -> Causes:
    """Return what the dead messages died of, the commonest cause first."""
    rows = session.execute(CAUSES, {"most": MOST_CAUSES}).mappings().all()
    causes = tuple(CauseView(**row) for row in rows)
    return Causes(causes[:MOST_CAUSES], is_whole=len(causes) <= MOST_CAUSES)
