"""The upkeep lease, and functions that take away what is past its time, a bounded part at a call.

Each call is one transaction. The functions run as their owner, so that the relay needs no right to
delete or drop anything; what they keep at the least is checked here, not left to the caller.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

CUTOFF = """
create function signpost_cutoff(keep_days integer, fewest integer) returns timestamptz
language plpgsql stable strict set search_path = public, pg_temp
as $$
begin
    if keep_days < fewest then
        raise exception 'kept for % days at least', fewest using errcode = 'invalid_parameter_value';
    end if;
    return now() - make_interval(days => keep_days);
end
$$
"""

OLD_PARTITIONS = """
create function signpost_partitions_before(cutoff timestamptz) returns setof text
language sql stable strict set search_path = public, pg_temp
begin atomic
    select relname::text
      from pg_inherits join pg_class on pg_class.oid = inhrelid
     where inhparent = 'outbox_messages'::regclass
       and to_date(substring(relname from '^outbox_messages_([0-9]{8})$'), 'YYYYMMDD')
           < (cutoff at time zone 'UTC')::date
     order by relname;
end
"""

HAS_UNSETTLED = """
create function signpost_has_unsettled(partition text) returns boolean
language plpgsql stable strict set search_path = public, pg_temp
as $$
declare
    found_one boolean;
begin
    execute format('select exists (select from %I where status = ''pending'')', partition) into found_one;
    return found_one;
end
$$
"""

# One partition at a call. The parent is locked first, as claims do, and everyone queues behind that wait: so
# it is short, and the partition itself is not waited for at all, nor the default one, which a DROP locks too.
# Whether something is unsettled is asked before, to leave the lock alone, and again under the lock, because
# an operator may have requeued.
# The lock is that of signpost_make_partitions: neither must wait for the other while it holds a table.
DROP_PARTITION = """
create function signpost_drop_partition(keep_days integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp set lock_timeout = '200ms'
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    partition text;
begin
    if not pg_try_advisory_xact_lock(hashtext('signpost_make_partitions')) then
        return 0;
    end if;
    for partition in select signpost_partitions_before(cutoff) loop
        continue when signpost_has_unsettled(partition);
        begin
            lock table only outbox_messages in access exclusive mode;
            execute format('lock table %I, outbox_messages_default in access exclusive mode nowait', partition);
            if not signpost_has_unsettled(partition) then
                execute format('drop table %I', partition);
                return 1;
            end if;
        exception when lock_not_available then
            raise warning 'partition % not dropped: %', partition, sqlerrm using errcode = sqlstate, table = partition;
        end;
    end loop;
    return 0;
end
$$
"""

# Settled rows go one by one only where the partition cannot go as a whole: in the default one, and beside an
# unsettled one.
PRUNE_MESSAGES = """
create function signpost_prune_messages(keep_days integer, batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    partition text;
    pruned integer := 0;
    part integer;
begin
    for partition in select 'outbox_messages_default' union all select signpost_partitions_before(cutoff) loop
        exit when pruned >= batch;
        continue when partition <> 'outbox_messages_default' and not signpost_has_unsettled(partition);
        execute format('delete from %1$I where ctid = any(array(select ctid from %1$I where settled_at < $1'
                       ' limit $2 for update skip locked))', partition) using cutoff, batch - pruned;
        get diagnostics part = row_count;
        pruned := pruned + part;
    end loop;
    return pruned;
end
$$
"""

# Ids come in the order of time: only the oldest rows are looked at, and no index by time is kept up. An attempt
# stays for as long as its message does. That is asked by a scalar subquery, which reads one partition for
# each; "not exists" becomes a join, which may read them all.
PRUNE_ATTEMPTS = """
create function signpost_prune_attempts(keep_days integer, batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    pruned integer;
begin
    delete from delivery_attempts where id = any(array(
        select id from (select id, message_id, ended_at from delivery_attempts order by id limit batch) as oldest
         where ended_at < cutoff
           and (select message.id from outbox_messages as message where message.id = oldest.message_id) is null));
    get diagnostics pruned = row_count;
    return pruned;
end
$$
"""

# Who did what by hand is kept for three months at the least, whatever a relay asks for.
PRUNE_ACTIONS = """
create function signpost_prune_actions(keep_days integer, batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 90);
    pruned integer;
begin
    delete from operator_actions where id = any(array(
        select id from (select id, acted_at from operator_actions order by id limit batch) as oldest
         where acted_at < cutoff));
    get diagnostics pruned = row_count;
    return pruned;
end
$$
"""

MAY_STILL_ACTIVATE = """
create function signpost_has_token_since(candidate uuid, cutoff timestamptz) returns boolean
language sql stable strict set search_path = public, pg_temp
begin atomic
    select exists (select from tokens where user_id = candidate and expires_at >= cutoff);
end
"""

# The messages are not asked for by a function of their own: each call of it would open all partitions.
ABANDONED = """status in ('pending', 'retired')
           and not signpost_has_token_since(id, cutoff)
           and not exists (select from outbox_messages where user_id = users.id and status = 'pending')"""

# Two statements: the first locks, and the second, which has a snapshot of its own, asks again. A resend or a
# requeue that committed in between has added a token, which takes a lock on the user; after ours none can.
PRUNE_USERS = f"""
create function signpost_prune_users(keep_days integer, batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    cutoff constant timestamptz := signpost_cutoff(keep_days, 1);
    candidates uuid[];
    pruned integer;
begin
    candidates := array(
        select id from users
         where created_at < cutoff and email_verified_at is null and phone_verified_at is null
           and {ABANDONED}
         limit batch
           for update skip locked);
    delete from users
     where id = any(candidates)
           and {ABANDONED};
    get diagnostics pruned = row_count;
    return pruned;
end
$$
"""

HELPERS = (
    "signpost_cutoff(integer, integer)",
    "signpost_partitions_before(timestamptz)",
    "signpost_has_unsettled(text)",
    "signpost_has_token_since(uuid, timestamptz)",
)
FOR_THE_RELAY = (
    "signpost_drop_partition(integer)",
    "signpost_prune_messages(integer, integer)",
    "signpost_prune_attempts(integer, integer)",
    "signpost_prune_actions(integer, integer)",
    "signpost_prune_users(integer, integer)",
)


def upgrade() -> None:
    op.create_table(
        "upkeep_lease",
        sa.Column("id", sa.SmallInteger(), server_default="1", autoincrement=False, nullable=False),
        sa.Column("holder", sa.Uuid()),
        sa.Column("leased_until", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_upkeep_lease"),
        sa.CheckConstraint("id = 1", name=op.f("ck_upkeep_lease_only_one")),
    )
    op.execute("insert into upkeep_lease default values")
    op.create_index(
        "ix_users_inactive", "users", ["created_at"], postgresql_where=sa.text("status in ('pending', 'retired')")
    )
    for function in (CUTOFF, OLD_PARTITIONS, HAS_UNSETTLED, DROP_PARTITION, PRUNE_MESSAGES):
        op.execute(function)
    for function in (PRUNE_ATTEMPTS, PRUNE_ACTIONS, MAY_STILL_ACTIVATE, PRUNE_USERS):
        op.execute(function)
    for function in HELPERS + FOR_THE_RELAY:
        op.execute(f"revoke all on function {function} from public")
    for function in FOR_THE_RELAY:
        op.execute(f"grant execute on function {function} to signpost_relay")
    op.execute("grant select, update (holder, leased_until) on upkeep_lease to signpost_relay")


def downgrade() -> None:
    for function in FOR_THE_RELAY + HELPERS:
        op.execute(f"drop function {function}")
    op.drop_index("ix_users_inactive", table_name="users")
    op.drop_table("upkeep_lease")
