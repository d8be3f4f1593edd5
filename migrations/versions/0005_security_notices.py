"""Add the tables and functions of security notices."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

FILE = Path(__file__).parents[1] / "sql" / "security_notices.sql"


def upgrade() -> None:
    # The driver accepts a file of many statements and does not interpret `%` and `:` in it.
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute(FILE.read_text(), prepare=False)


def downgrade() -> None:
    # The function that exports messages stays: it also works with the older schema.
    op.execute("drop trigger tr_users_forget_security_events on users")
    op.execute(
        "drop function signpost_forget_security_events(), signpost_enqueue_notices(integer),"
        " signpost_prune_seen_clients(integer), signpost_prune_security_events(integer),"
        " signpost_prune_wrong_passwords(integer)"
    )
    op.execute("drop table seen_clients, security_events, wrong_passwords")
    op.execute("alter table users drop column first_sign_in_at")
