"""How organizations' databases are found at each look, when the next is due, and which were lost."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

FOUND_BY_RELAY = "tables, size_bytes, healthy_at, check_due_at"

GRANTS = (
    f"grant update ({FOUND_BY_RELAY}) on organizations to signpost_relay",
    "grant update (check_due_at) on organizations to signpost_console",
    "grant select, insert, update (restored_at) on organization_losses to signpost_relay",
    "grant select on organization_losses to signpost_console",
)


def upgrade() -> None:
    op.add_column("organizations", sa.Column("tables", sa.Integer()))
    op.add_column("organizations", sa.Column("size_bytes", sa.BigInteger()))
    op.add_column("organizations", sa.Column("healthy_at", sa.DateTime(timezone=True)))
    op.add_column(
        "organizations",
        sa.Column("check_due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.create_index(
        "ix_organizations_check_due_at",
        "organizations",
        ["check_due_at"],
        postgresql_where=sa.text("status = 'ready' and not is_decoy"),
    )
    op.create_table(
        "organization_losses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("healthy_at", sa.DateTime(timezone=True)),
        sa.Column("revision", sa.Text()),
        sa.Column("tables", sa.Integer()),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("restored_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_organization_losses"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_organization_losses_organization_id_organizations",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_organization_losses_organization_id", "organization_losses", ["organization_id"])
    op.create_index(
        "uq_organization_losses_organization_id",
        "organization_losses",
        ["organization_id"],
        unique=True,
        postgresql_where=sa.text("restored_at is null"),
    )
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    op.drop_table("organization_losses")
    op.drop_index("ix_organizations_check_due_at", table_name="organizations")
    for column in ("check_due_at", "healthy_at", "size_bytes", "tables"):
        op.drop_column("organizations", column)
