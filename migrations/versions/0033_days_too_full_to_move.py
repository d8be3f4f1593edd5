"""A day of which too much is in the default partition keeps it there, and one that has begun is made before all eyes.

To move a million messages held up registrations for ten seconds, and past the statement timeout everything was undone,
the days to come with it. Those of a day that is skipped are pruned one by one. What was on its way into the default
partition, when today's was attached, failed there with a check violation: whoever adds messages has to wait outside.
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

MOST_MOVED = 20_000
"""Half a second's worth, for which all wait."""

TOO_MANY = f"""
    if (select count(*) > {MOST_MOVED}
          from (select from outbox_messages_default where id >= lowest and id < beyond limit {MOST_MOVED} + 1) as those)
    then
        raise exception 'more than {MOST_MOVED} messages of that day are in the default partition'
            using errcode = 'program_limit_exceeded';
    end if;"""
BEFORE_TOO_MANY = "\n    execute format('create table"

# Whoever inserts chooses the partition under a lock on the parent. A day to come has none to choose it, unless a
# clock is ahead.
CHOOSE_LATER = """
    if day < now() + interval '1 hour' then
        lock table only outbox_messages in access exclusive mode;
    end if;"""
BEFORE_CHOOSE_LATER = "\n    lock table outbox_messages_default"

MAKE_PARTITION = "select pg_get_functiondef('signpost_make_partition(timestamptz)'::regprocedure)"

MAKE_PARTITIONS = """
create or replace function signpost_make_partitions(days_ahead integer) returns integer
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '200ms'
as $$
declare
    day timestamptz := date_trunc('day', now(), 'UTC');
    last_day constant timestamptz := day + make_interval(days => days_ahead);
    made integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext('signpost_make_partitions'));
    while day <= last_day loop
        begin
            made := made + signpost_make_partition(day);
        exception when {handled} then
            raise warning 'partition of % not made: %', day, sqlerrm{told};
        end;
        day := day + interval '1 day';
    end loop;
    return made;
end
$$
"""
HANDLED_BEFORE = "lock_not_available or check_violation"
TOLD = """
                using errcode = sqlstate,
                      table = 'outbox_messages_' || to_char(day at time zone 'UTC', 'YYYYMMDD')"""


def upgrade() -> None:
    made = _function()
    for place, addition in ((BEFORE_TOO_MANY, TOO_MANY), (BEFORE_CHOOSE_LATER, CHOOSE_LATER)):
        if made.count(place) != 1:
            raise RuntimeError("signpost_make_partition is not as the migrations before have left it")
        made = made.replace(place, addition + place)
    op.execute(made)
    op.execute(MAKE_PARTITIONS.format(handled=f"{HANDLED_BEFORE} or program_limit_exceeded", told=TOLD))


def downgrade() -> None:
    op.execute(_function().replace(TOO_MANY, "").replace(CHOOSE_LATER, ""))
    op.execute(MAKE_PARTITIONS.format(handled=HANDLED_BEFORE, told=""))


def _function() -> str:
    return str(op.get_bind().execute(sa.text(MAKE_PARTITION)).scalar_one())
