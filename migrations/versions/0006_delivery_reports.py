"""Add the table of delivery reports, and what relays do with them."""

from migrations.sql_files import run_file

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("delivery_reports.sql")


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with these tables and functions, too")
