"""The schema of the first release, from the files in ``migrations/sql``. Later changes have their own migrations."""

from pathlib import Path
from typing import Any

from alembic import op

from migrations.rights import make_roles

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
FILES = (
    *("causes", "tables", "partitions", "delivery", "personal_data", "pruning", "organizations"),
    *("triggers", "views", "rights"),
)
"""In this order: an index of the outbox needs the functions of ``causes``."""


def upgrade() -> None:
    make_roles(op.get_bind())
    # The driver accepts a file of many statements and does not interpret `%` and `:` in it.
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute("set local check_function_bodies = off")  # functions call others of later files
    for name in FILES:
        connection.execute((SQL / f"{name}.sql").read_text(), prepare=False)
    connection.execute("select signpost_make_partitions(2)")


def downgrade() -> None:
    raise NotImplementedError("there is nothing before the baseline: drop the database instead")
