"""Run files of ``migrations/sql`` within a migration."""

from pathlib import Path
from typing import Any

from alembic import op

SQL = Path(__file__).parent / "sql"


def run_file(name: str) -> None:
    """Run a file's statements in the migration's transaction."""
    # The driver accepts a file of many statements and does not interpret `%` and `:` in it.
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute((SQL / name).read_text(), prepare=False)
