"""What stands before the API's work: counts of hits against limits, and answers kept for repeated requests.

Counts are worth no WAL: the table is UNLOGGED, a crash of the server empties it, and the limits begin anew.
Both tables are pruned by functions that run as their owner, as all of upkeep is.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# A client may count on a day, whoever calls this and whenever.
PRUNE_ANSWERS = """
create function signpost_prune_answers(batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    pruned integer;
begin
    delete from kept_answers where ctid = any(array(
        select ctid from kept_answers where created_at < now() - interval '1 day' limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$
"""

# Without an index by time, which would cost each hit more than this costs once a minute.
PRUNE_LIMITS = """
create function signpost_prune_limits(batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    pruned integer;
begin
    delete from rate_limits where ctid = any(array(
        select ctid from rate_limits where ends_at < now() limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$
"""

FOR_THE_RELAY = ("signpost_prune_answers(integer)", "signpost_prune_limits(integer)")


def upgrade() -> None:
    op.create_table(
        "kept_answers",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_kept_answers"),
    )
    op.create_index("ix_kept_answers_created_at", "kept_answers", ["created_at"])
    op.create_table(
        "rate_limits",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("period", sa.Interval(), nullable=False),
        sa.Column("hits", postgresql.ARRAY(sa.DateTime(timezone=True)), nullable=False),
        sa.Column("is_admitted", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_rate_limits"),
        prefixes=["UNLOGGED"],
        postgresql_with={"fillfactor": "50"},
    )
    for function in (PRUNE_ANSWERS, PRUNE_LIMITS):
        op.execute(function)
    for function in FOR_THE_RELAY:
        op.execute(f"revoke all on function {function} from public")
        op.execute(f"grant execute on function {function} to signpost_relay")
    op.execute("grant select, insert on kept_answers to signpost_api")
    op.execute("grant select, insert, update on rate_limits to signpost_api")


def downgrade() -> None:
    for function in FOR_THE_RELAY:
        op.execute(f"drop function {function}")
    op.drop_table("rate_limits")
    op.drop_table("kept_answers")
