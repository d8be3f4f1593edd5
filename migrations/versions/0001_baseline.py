"""The schema of the first release, from the files in ``migrations/sql``.

After the first release, these files are frozen: a change to them would reach new installations only. Later migrations
change the schema, and may replace a function. ``migrations/rights.sql`` is not frozen.
"""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
FILES = (
    *("causes", "tables", "partitions", "delivery", "personal_data", "pruning", "organizations"),
    *("triggers", "views"),
)
"""In this order: an index of the outbox needs the functions of ``causes``."""


def upgrade() -> None:
    # The driver accepts a file of many statements and does not interpret `%` and `:` in it.
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute("set local check_function_bodies = off")  # functions call others of later files
    for name in FILES:
        connection.execute((SQL / f"{name}.sql").read_text(), prepare=False)
    connection.execute("select signpost_make_partitions(2)")


def downgrade() -> None:
    raise NotImplementedError("there is nothing before the baseline: drop the database instead")
