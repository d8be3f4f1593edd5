"""Views for people with psql: what died, and what waits."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MASK = """
create function signpost_masked(address text) returns text
language sql immutable strict parallel safe
return case when position('@' in address) > 0
            then left(address, 1) || '…@' || split_part(address, '@', -1)
            else left(address, 3) || '…' || right(address, 2) end
"""

DEAD_LETTERS = """
create view dead_letters as
select id, template, channel, signpost_masked(recipient) as recipient, dead_reason, attempt, provider,
       last_error_class, replace(replace(last_error, recipient, signpost_masked(recipient)), lower(recipient),
       signpost_masked(recipient)) as last_error, created_at, settled_at
  from outbox_messages
 where status = 'dead'
"""

OUTBOX_BACKLOG = """
create view outbox_backlog as
select channel,
       count(*) filter (where due_at <= now()) as due,
       count(*) filter (where leased_until > now()) as leased,
       count(*) as pending,
       coalesce(extract(epoch from now() - min(due_at) filter (where due_at <= now())), 0)::float8 as lag_seconds
  from outbox_messages
 where status = 'pending'
 group by channel
"""


def upgrade() -> None:
    op.execute(MASK)
    op.execute(DEAD_LETTERS)
    op.execute(OUTBOX_BACKLOG)


def downgrade() -> None:
    op.execute("drop view outbox_backlog")
    op.execute("drop view dead_letters")
    op.execute("drop function signpost_masked(text)")
