"""Add the removal of organizations."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0013"
down_revision = "0010"
branch_labels = None
depends_on = None

FILE = Path(__file__).parents[1] / "sql" / "organization_removal.sql"


def upgrade() -> None:
    # The driver accepts a file of many statements and does not interpret `%` and `:` in it.
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute(FILE.read_text(), prepare=False)


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with these columns, too")
