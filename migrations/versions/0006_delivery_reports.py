"""Add the table of delivery reports, and what relays do with them."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FILE = Path(__file__).parents[1] / "sql" / "delivery_reports.sql"


def upgrade() -> None:
    # The driver accepts a file of many statements and does not interpret `%` and `:` in it.
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute(FILE.read_text(), prepare=False)


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with these tables and functions, too")
