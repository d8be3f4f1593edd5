"""Sessions, and the indexes by which someone who signs in is found, whatever their status.

A session that ended is not there any more; the upkeep takes those that expired.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ADDRESSES = (("email", "email_canonical"), ("phone", "phone"))

# What has expired is of no use to anyone, so nothing has to be kept for some days.
PRUNE_SESSIONS = """
create function signpost_prune_sessions(batch integer) returns integer
language plpgsql strict security definer set search_path = public, pg_temp
as $$
declare
    pruned integer;
begin
    delete from sessions where id = any(array(
        select id from sessions where expires_at <= now() order by expires_at limit batch for update skip locked));
    get diagnostics pruned = row_count;
    return pruned;
end
$$
"""

REFRESHED_BY_API = "refresh_hash, last_used_at, expires_at"


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("family_hash", sa.LargeBinary(), nullable=False),
        sa.Column("refresh_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_agent", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id_users", ondelete="CASCADE"),
        sa.UniqueConstraint("family_hash", name="uq_sessions_family_hash"),
        sa.CheckConstraint("octet_length(family_hash) = 32", name=op.f("ck_sessions_family_hash")),
        sa.CheckConstraint("octet_length(refresh_hash) = 32", name=op.f("ck_sessions_refresh_hash")),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id", "last_used_at"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    for address, column in ADDRESSES:
        is_given = sa.text(f"{column} is not null")
        op.create_index(f"ix_users_{address}", "users", [column, "created_at"], postgresql_where=is_given)
        op.drop_index(f"ix_users_pending_{address}", table_name="users")
    op.execute(PRUNE_SESSIONS)
    op.execute("revoke all on function signpost_prune_sessions(integer) from public")
    op.execute("grant execute on function signpost_prune_sessions(integer) to signpost_relay")
    op.execute(f"grant select, insert, delete, update ({REFRESHED_BY_API}) on sessions to signpost_api")


def downgrade() -> None:
    op.execute("drop function signpost_prune_sessions(integer)")
    for address, column in ADDRESSES:
        is_pending = sa.text("status = 'pending'")
        op.create_index(f"ix_users_pending_{address}", "users", [column], postgresql_where=is_pending)
        op.drop_index(f"ix_users_{address}", table_name="users")
    op.drop_table("sessions")
