"""Where operators are signed in to the console's page: one row each, with the hash of what their browser holds."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "console_sessions",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_console_sessions"),
        sa.ForeignKeyConstraint(
            ["token_id"],
            ["operator_tokens.id"],
            name="fk_console_sessions_token_id_operator_tokens",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("octet_length(id) = 32", name=op.f("ck_console_sessions_id")),
    )
    op.execute("grant select, insert, delete, update (used_at) on console_sessions to signpost_console")
    op.execute("grant select on alembic_version to signpost_console")


def downgrade() -> None:
    op.execute("revoke select on alembic_version from signpost_console")
    op.drop_table("console_sessions")
