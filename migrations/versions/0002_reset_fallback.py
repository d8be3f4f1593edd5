"""Let the code of a password reset fall back to the user's other proven address."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FILE = Path(__file__).parents[1] / "sql" / "reset_fallback.sql"


def upgrade() -> None:
    # The driver accepts a file of many statements and does not interpret `%` and `:` in it.
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute(FILE.read_text(), prepare=False)


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with these functions, too")
