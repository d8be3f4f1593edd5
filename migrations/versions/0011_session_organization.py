"""Add the organization that a session's access tokens name."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without a foreign key: a user who was removed keeps the session, whose next token then names no organization.
    op.add_column("sessions", sa.Column("organization_id", sa.Uuid()))


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with this column, too")
