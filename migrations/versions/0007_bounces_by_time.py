"""Add an index on the bounces among the delivery reports, which operators count by cause."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Receipts of delivered SMS are many times as many.
    bounced = sa.text("kind = 'bounced'")
    op.create_index("ix_delivery_reports_bounced", "delivery_reports", ["received_at"], postgresql_where=bounced)


def downgrade() -> None:
    op.drop_index("ix_delivery_reports_bounced", "delivery_reports")
