"""What all relays know together of a provider: its breaker, and the tokens of its rate.

A breaker is closed while ``openings`` is 0, open until ``open_until``, and half open from then on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CHANGED_BY_RELAY = (
    "rate, tokens, refilled_at, openings, open_until, probe_by, probe_until, since, last_failure_class, "
    "last_failed_at, seen_at"
)


def upgrade() -> None:
    op.create_table(
        "providers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rate", sa.Text()),
        sa.Column("tokens", sa.Double(), server_default="0", nullable=False),
        sa.Column("refilled_at", sa.DateTime(timezone=True)),
        sa.Column("openings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("open_until", sa.DateTime(timezone=True)),
        sa.Column("probe_by", sa.Uuid()),
        sa.Column("probe_until", sa.DateTime(timezone=True)),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_failure_class", sa.Text()),
        sa.Column("last_failed_at", sa.DateTime(timezone=True)),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_providers"),
        sa.CheckConstraint("(openings = 0) = (open_until is null)", name=op.f("ck_providers_open_has_end")),
    )
    op.execute("grant select, insert (name, rate) on providers to signpost_relay")
    op.execute(f"grant update ({CHANGED_BY_RELAY}) on providers to signpost_relay")
    op.execute("grant select on providers to signpost_console")


def downgrade() -> None:
    op.drop_table("providers")
