"""Add the removal of organizations."""

from migrations.sql_files import run_file

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("organization_removal.sql")


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with these columns, too")
