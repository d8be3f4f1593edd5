"""Add the members of organizations, and organizations that are founded at the activation."""

from migrations.sql_files import run_file

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("organization_members.sql")


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with this table and these functions, too")
