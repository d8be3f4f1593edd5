"""Add the audit log of the organization. Its members can only append to it."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        create table audit (
            id bigint generated always as identity constraint pk_audit primary key,
            acted_at timestamptz not null default now(),
            user_id uuid,
            action text not null,
            about jsonb not null default '{}'
        )
        """
    )
    op.execute("create index ix_audit_acted_at on audit (acted_at)")
    op.execute("grant select, insert (user_id, action, about) on audit to signpost_tenant")


def downgrade() -> None:
    op.execute("drop table audit")
