"""What messages died of: replies that differ in addresses, numbers and ids only are one cause."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from operator_console.views import Causes, CausesAt, CauseView

MOST_CAUSES = 500
"""More than anyone looks through."""

# The index has all that is asked here. Words of one cause have one pattern, whichever of them it is made of; ids are
# compared as text, since uuids have no max() before PostgreSQL 18.
CAUSES = text("""
select signpost_cause(dead_reason, provider, last_error) as cause, count(*) as messages,
       min(dead_reason collate "C") as dead_reason, min(provider collate "C") as provider,
       signpost_error_pattern(min(last_error collate "C")) as error,
       min(settled_at) as first_seen, max(settled_at) as last_seen, max(id::text collate "C")::uuid as newest_id
  from outbox_messages
 where status = 'dead'
 group by 1
 order by 2 desc, 1
 limit :most
""")

# The planner takes the making of a cause to be as cheap as comparing numbers, and would make that of each dead row anew
# where rows that died together lie together. In the index it stands already, and in order: with no other way to an
# order, the planner takes that.
SWITCH = text("""
select set_config(name, :switched, true)
  from unnest(array['enable_hashagg', 'enable_sort']) as setting (name)
""")


def list_causes(session: Session) -> Causes:
    """Return what the dead messages died of, the commonest cause first."""
    with _in_the_order_of_an_index(session):
        rows = session.execute(CAUSES, {"most": MOST_CAUSES + 1}).mappings().all()
    causes = tuple(CauseView(**row) for row in rows)
    return Causes(causes[:MOST_CAUSES], is_whole=len(causes) <= MOST_CAUSES)


def list_causes_at(session: Session) -> CausesAt:
    """Return the same, and when they were counted."""
    return CausesAt(list_causes(session), session.scalars(select(func.now())).one())


@contextmanager
def _in_the_order_of_an_index(session: Session) -> Iterator[None]:
    """Have nothing sorted that an index has in order, for what is asked inside; what fails ends the transaction."""
    session.execute(SWITCH, {"switched": "off"})
    yield
    session.execute(SWITCH, {"switched": "on"})
