"""Add users.profile, the fields that PROFILE_SCHEMA defines."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("profile", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")))
    op.create_check_constraint("profile_is_an_object", "users", "jsonb_typeof(profile) = 'object'")


def downgrade() -> None:
    op.drop_column("users", "profile")
