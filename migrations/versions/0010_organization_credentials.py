"""Add the credentials of organizations, and the number of a password."""

from migrations.sql_files import run_file

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("organization_credentials.sql")


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with this column, too")
