"""A claim leaves every indexed column as it is, so that it writes one heap tuple beside the old one and no index entry.

What a claim changes (the lease, and expiries only after a lost one) is in no index any more; partitions leave
room for it on each page; what is leased is no longer due for those who count. The check on a message's
token runs after the update instead of before: a trigger before it locks each row first, named or not.
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# A claim takes whole pages, so all rows of a page need room for a second version at once; what remains is for
# rows that differ in length. The settle finds the claimed version's room free again.
FILLFACTOR = 45
FILLFACTOR_BEFORE = 70

SUSPECT = "status = 'pending' and expiries >= 1"
SUSPECT_BEFORE = "status = 'pending' and expiries + (lease_token is not null)::integer >= 2"

IS_DUE = "due_at <= now() and (leased_until is null or leased_until <= now())"
IS_DUE_BEFORE = "due_at <= now()"

OUTBOX_BACKLOG = """
create or replace view outbox_backlog as
select channel,
       count(*) filter (where {is_due}) as due,
       count(*) filter (where leased_until > now()) as leased,
       count(*) as pending,
       coalesce(extract(epoch from now() - min(due_at) filter (where {is_due})), 0)::float8 as lag_seconds
  from outbox_messages
 where status = 'pending'
 group by channel
"""

TRIGGER = """
create trigger tr_outbox_messages_token {moment} update of token_id on outbox_messages
for each row when (old.token_id is distinct from new.token_id) execute function signpost_check_token()
"""

PARTITIONS = "select inhrelid::regclass::text from pg_inherits where inhparent = 'outbox_messages'::regclass"
MAKE_PARTITION = "select pg_get_functiondef('signpost_make_partition(timestamptz)'::regprocedure)"


def upgrade() -> None:
    _reshape(SUSPECT, IS_DUE, "after")
    _leave_room(FILLFACTOR)


def downgrade() -> None:
    _leave_room(FILLFACTOR_BEFORE)
    _reshape(SUSPECT_BEFORE, IS_DUE_BEFORE, "before")


def _reshape(suspect: str, is_due: str, moment: str) -> None:
    op.drop_index("ix_outbox_messages_suspect", "outbox_messages")
    op.create_index(
        "ix_outbox_messages_suspect", "outbox_messages", ["due_at", "id"], postgresql_where=sa.text(suspect)
    )
    op.execute(OUTBOX_BACKLOG.format(is_due=is_due))
    op.execute("drop trigger tr_outbox_messages_token on outbox_messages")
    op.execute(TRIGGER.format(moment=moment))


def _leave_room(fillfactor: int) -> None:
    connection = op.get_bind()
    for partition in connection.execute(sa.text(PARTITIONS)).scalars().all():
        op.execute(f"alter table {partition} set (fillfactor = {fillfactor})")
    made = connection.execute(sa.text(MAKE_PARTITION)).scalar_one()
    op.execute(re.sub(r"fillfactor = \d+", f"fillfactor = {fillfactor}", made))
