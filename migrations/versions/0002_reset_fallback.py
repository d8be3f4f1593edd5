"""Let the code of a password reset fall back to the user's other proven address."""

from migrations.sql_files import run_file

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("reset_fallback.sql")


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with these functions, too")
