"""Add the tables and functions of security notices."""

from alembic import op

from migrations.sql_files import run_file

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("security_notices.sql")


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
