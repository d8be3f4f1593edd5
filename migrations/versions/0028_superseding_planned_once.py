"""Closing what a resend replaces has one plan for each session, however many days messages are kept."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# Before PostgreSQL 18 a function in SQL is planned anew by each statement that calls it: with partitions of ninety
# days, 60 ms a resend. One in PL/pgSQL keeps its plans, under the plan_cache_mode of whoever calls it.
SUPERSEDE = """
create or replace function signpost_supersede(for_user uuid, of_token uuid) returns integer
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    closed integer;
begin
    update outbox_messages as message
       set status = 'dead', dead_reason = 'superseded', settled_at = clock_timestamp(),
           lease_token = null, leased_until = null, fallback_at = null
     where user_id = for_user and status = 'pending'
       and (token_id = of_token or fallback_of in (
            select id from outbox_messages as first where first.user_id = for_user and first.token_id = of_token));
    get diagnostics closed = row_count;
    return closed;
end
$$
"""
SUPERSEDE_BEFORE = """
create or replace function signpost_supersede(for_user uuid, of_token uuid) returns integer
language sql security definer set search_path = public, pg_temp
begin atomic
    with closed as (
        update outbox_messages as message
           set status = 'dead', dead_reason = 'superseded', settled_at = clock_timestamp(),
               lease_token = null, leased_until = null, fallback_at = null
         where user_id = for_user and status = 'pending'
           and (token_id = of_token or fallback_of in (
                select id from outbox_messages as first where first.user_id = for_user and first.token_id = of_token))
        returning 1)
    select count(*)::integer from closed;
end
"""


def upgrade() -> None:
    op.execute(SUPERSEDE)


def downgrade() -> None:
    op.execute(SUPERSEDE_BEFORE)
