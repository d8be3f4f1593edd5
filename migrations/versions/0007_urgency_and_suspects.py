"""Messages are claimed by channel and urgency, so that no notice delays a code; and suspects apart from the rest.

What an older release enqueues meanwhile is a code: all that it knows is told at once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

PENDING = "status = 'pending'"

# A pending message that is due and has a lease token lost that lease, too. Almost always empty.
SUSPECT = f"{PENDING} and expiries + (lease_token is not null)::integer >= 2"


def upgrade() -> None:
    op.add_column("outbox_messages", sa.Column("urgency", sa.Text(), server_default="code", nullable=False))
    op.execute("grant select (urgency) on outbox_messages to signpost_api")
    op.drop_index("ix_outbox_messages_due", "outbox_messages")
    op.create_index(
        "ix_outbox_messages_due",
        "outbox_messages",
        ["channel", "urgency", "due_at", "id"],
        postgresql_where=sa.text(PENDING),
    )
    op.create_index(
        "ix_outbox_messages_suspect", "outbox_messages", ["due_at", "id"], postgresql_where=sa.text(SUSPECT)
    )


def downgrade() -> None:
    op.drop_index("ix_outbox_messages_suspect", "outbox_messages")
    op.drop_index("ix_outbox_messages_due", "outbox_messages")
    op.create_index(
        "ix_outbox_messages_due",
        "outbox_messages",
        ["channel", "due_at", "id"],
        postgresql_where=sa.text(PENDING),
    )
    op.drop_column("outbox_messages", "urgency")
