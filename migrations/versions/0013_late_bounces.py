"""Let a late bounce of a message from before the end of a suppression suppress no longer."""

from migrations.sql_files import run_file

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("late_bounces.sql")


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with these functions, too")
