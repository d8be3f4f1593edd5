"""A message is of an urgency that relays know: one of any other would wait in the outbox for ever, and nobody be told.

What there is of others is a notice from now on; what of it waits is delivered.
"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

KNOWN = "urgency in ('code', 'notice')"
NAME = "ck_outbox_messages_urgency"


def upgrade() -> None:
    op.execute(f"update outbox_messages set urgency = 'notice' where not {KNOWN}")
    op.create_check_constraint(op.f(NAME), "outbox_messages", KNOWN)


def downgrade() -> None:
    op.drop_constraint(op.f(NAME), "outbox_messages")
