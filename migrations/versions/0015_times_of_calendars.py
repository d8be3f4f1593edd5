"""A message's times are such as every program can read: years 1 to 9998.

PostgreSQL's reach from 4713 BC to 294276, and a relay that cannot read one row of a batch can read none of it.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

BEFORE = "isfinite(due_at) and isfinite(created_at) and (expires_at is null or isfinite(expires_at))"
AFTER = " and ".join(
    f"{column} >= '0001-01-02 00:00:00+00' and {column} < '9999-01-01 00:00:00+00'"
    for column in ("due_at", "created_at", "expires_at")
)


def upgrade() -> None:
    _replace(AFTER)


def downgrade() -> None:
    _replace(BEFORE)


def _replace(condition: str) -> None:
    op.drop_constraint(op.f("ck_outbox_messages_finite_times"), "outbox_messages")
    op.create_check_constraint(op.f("ck_outbox_messages_finite_times"), "outbox_messages", condition)
