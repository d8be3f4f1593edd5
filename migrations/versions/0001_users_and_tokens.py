"""Users, pending and active, and the tokens that make one of them the other."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("email_canonical", sa.Text()),
        sa.Column("email_verified_at", sa.DateTime(timezone=True)),
        sa.Column("phone", sa.Text()),
        sa.Column("phone_verified_at", sa.DateTime(timezone=True)),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text()),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.CheckConstraint("email is not null or phone is not null", name=op.f("ck_users_has_address")),
        sa.CheckConstraint("(email is null) = (email_canonical is null)", name=op.f("ck_users_email_has_both_forms")),
        sa.CheckConstraint("status in ('pending', 'active', 'retired')", name=op.f("ck_users_status")),
    )
    pending = sa.text("status = 'pending'")
    for address, column in (("email", "email_canonical"), ("phone", "phone")):
        verified = sa.text(f"{address}_verified_at is not null")
        op.create_index(f"uq_users_active_{address}", "users", [column], unique=True, postgresql_where=verified)
        op.create_index(f"ix_users_pending_{address}", "users", [column], postgresql_where=pending)
    op.create_table(
        "tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("attempts_left", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_tokens_user_id_users", ondelete="CASCADE"),
        sa.CheckConstraint("purpose in ('activation', 'decoy')", name=op.f("ck_tokens_purpose")),
        sa.CheckConstraint("channel in ('email', 'sms')", name=op.f("ck_tokens_channel")),
        sa.CheckConstraint("attempts_left >= 0", name=op.f("ck_tokens_attempts_left")),
    )
    op.create_index("ix_tokens_user_id", "tokens", ["user_id", "created_at"])


def downgrade() -> None:
    op.drop_table("tokens")
    op.drop_table("users")
