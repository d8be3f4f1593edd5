"""The outbox, partitioned by the day that its keys carry, and what went wrong in delivering it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Rows are updated twice in their life, at the claim and at the settle: the room for one of the new
# versions is left on the page, and the vacuum comes after 2 % instead of 20 %.
STORAGE = "fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.2"

FLOOR_OF_DAY = """
create function signpost_uuid7_floor(moment timestamptz) returns uuid
language sql immutable strict parallel safe
return (rpad(lpad(to_hex(floor(extract(epoch from moment) * 1000)::bigint), 12, '0'), 32, '0'))::uuid
"""

# Made ahead of time, so that the default partition, which catches what a wrong clock writes, stays empty.
# A day whose rows are there already is taken out of it. The parent is locked for the blink of the ATTACH
# only, and nobody waits long behind it: a day that cannot be made now is left to the next call.
MAKE_PARTITIONS = """
create function signpost_make_partitions(days_ahead integer) returns integer
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
        exception when lock_not_available or check_violation then
            raise warning 'partition of % not made: %', day, sqlerrm;
        end;
        day := day + interval '1 day';
    end loop;
    return made;
end
$$
"""

MAKE_PARTITION = f"""
create function signpost_make_partition(day timestamptz) returns integer
language plpgsql set search_path = public, pg_temp
as $$
declare
    partition constant text := 'outbox_messages_' || to_char(day at time zone 'UTC', 'YYYYMMDD');
    lowest constant uuid := signpost_uuid7_floor(day);
    beyond constant uuid := signpost_uuid7_floor(day + interval '1 day');
begin
    if to_regclass(partition) is not null then
        return 0;
    end if;
    execute format('create table %I (like outbox_messages including defaults including constraints)'
                   ' with ({STORAGE})', partition);
    lock table outbox_messages_default in access exclusive mode;
    execute format('with misplaced as (delete from outbox_messages_default where id >= %L and id < %L returning *)'
                   ' insert into %I select * from misplaced', lowest, beyond, partition);
    execute format('alter table outbox_messages attach partition %I for values from (%L) to (%L)',
                   partition, lowest, beyond);
    return 1;
end
$$
"""


def upgrade() -> None:
    op.create_table(
        "outbox_messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("token_id", sa.Uuid()),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("dead_reason", sa.Text()),
        sa.Column("attempt", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.SmallInteger(), nullable=False),
        sa.Column("expiries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.Column("lease_token", sa.Uuid()),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("provider", sa.Text()),
        sa.Column("provider_message_id", sa.Text()),
        sa.Column("last_error_class", sa.Text()),
        sa.Column("last_error", sa.Text()),
        sa.Column("traceparent", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_outbox_messages"),
        sa.CheckConstraint("status in ('pending', 'sent', 'dead')", name=op.f("ck_outbox_messages_status")),
        sa.CheckConstraint("channel in ('email', 'sms')", name=op.f("ck_outbox_messages_channel")),
        sa.CheckConstraint(
            "(status = 'dead') = (dead_reason is not null)", name=op.f("ck_outbox_messages_dead_has_reason")
        ),
        sa.CheckConstraint(
            "(status = 'pending') = (settled_at is null)", name=op.f("ck_outbox_messages_settled_has_time")
        ),
        sa.CheckConstraint(
            "(lease_token is null) = (leased_until is null)", name=op.f("ck_outbox_messages_lease_has_end")
        ),
        sa.CheckConstraint(
            "isfinite(due_at) and isfinite(created_at) and (expires_at is null or isfinite(expires_at))",
            name=op.f("ck_outbox_messages_finite_times"),
        ),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(
        "ix_outbox_messages_due",
        "outbox_messages",
        ["channel", "due_at", "id"],
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_outbox_messages_dead",
        "outbox_messages",
        ["settled_at", "id"],
        postgresql_where=sa.text("status = 'dead'"),
    )
    op.create_index("ix_outbox_messages_user_id", "outbox_messages", ["user_id", "created_at"])
    op.execute(FLOOR_OF_DAY)
    op.execute(MAKE_PARTITION)
    op.execute(MAKE_PARTITIONS)
    op.execute("create table outbox_messages_default partition of outbox_messages default")
    op.execute("select signpost_make_partitions(7)")
    op.create_table(
        "delivery_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text()),
        sa.Column("error_class", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_attempts"),
    )
    op.create_index("ix_delivery_attempts_message_id", "delivery_attempts", ["message_id", "id"])


def downgrade() -> None:
    op.drop_table("delivery_attempts")
    op.drop_table("outbox_messages")
    op.execute("drop function signpost_make_partitions(integer)")
    op.execute("drop function signpost_make_partition(timestamptz)")
    op.execute("drop function signpost_uuid7_floor(timestamptz)")
