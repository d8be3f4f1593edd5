"""The relays that are at work, each in a row that it keeps fresh, for operators to see which are alive."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# A day after it was last seen, a relay is of interest to nobody; its host and version are in its log.
PRUNE_RELAYS = """
create function signpost_prune_relays(batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    pruned integer;
begin
    delete from relays where id = any(array(
        select id from relays where seen_at < now() - interval '1 day' limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$
"""

TOLD_BY_RELAY = "host, version, channels, batch_size, connections"


def upgrade() -> None:
    op.create_table(
        "relays",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("channels", ARRAY(sa.Text()), nullable=False),
        sa.Column("batch_size", sa.Integer(), nullable=False),
        sa.Column("connections", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_relays"),
    )
    op.execute(
        f"grant select, insert (id, {TOLD_BY_RELAY}), update (seen_at, {TOLD_BY_RELAY}) on relays to signpost_relay"
    )
    op.execute("grant select on relays to signpost_console")
    op.execute(PRUNE_RELAYS)
    op.execute("revoke all on function signpost_prune_relays(integer) from public")
    op.execute("grant execute on function signpost_prune_relays(integer) to signpost_relay")


def downgrade() -> None:
    op.execute("drop function signpost_prune_relays(integer)")
    op.drop_table("relays")
