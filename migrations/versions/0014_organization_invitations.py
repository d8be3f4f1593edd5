"""Add invitations to organizations."""

from migrations.sql_files import run_file

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("organization_invitations.sql")


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with this table and these functions, too")
