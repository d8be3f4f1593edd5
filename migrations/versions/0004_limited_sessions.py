"""Add sessions.is_limited: the session of a registration that is not activated."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # No role may update it, so a limited session never becomes a full one.
    op.add_column("sessions", sa.Column("is_limited", sa.Boolean, nullable=False, server_default="false"))


def downgrade() -> None:
    # The previous release would take limited sessions for full ones.
    op.execute("delete from sessions where is_limited")
    op.drop_column("sessions", "is_limited")
