"""Organizations, the steps that make each one's database, and the outbox's channel for that work.

A row here says what an organization is and how its database was last found; the database itself is another, and
its name follows from the organization's id, never from what somebody typed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None

CHANNEL = "ck_outbox_messages_channel"
TO_PEOPLE = "channel in ('email', 'sms')"
WITH_WORK = "channel in ('email', 'sms', 'provision')"

FOUNDED_BY_API = "id, name, country, founder_id, database_name, is_decoy"
READ_BY_API = "id, name, country, status, founder_id, health, checked_at, created_at, ready_at, failed_at"
FOUND_BY_RELAY = "revision, health, health_error, checked_at"

GRANTS = (
    f"grant insert ({FOUNDED_BY_API}), select ({READ_BY_API}) on organizations to signpost_api",
    f"grant select, update ({FOUND_BY_RELAY}) on organizations to signpost_relay",
    "grant select, insert, update on organization_steps to signpost_relay",
    "grant select on organizations, organization_steps to signpost_console",
)


def upgrade() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("country", sa.Text()),
        sa.Column("status", sa.Text(), server_default="provisioning", nullable=False),
        sa.Column("founder_id", sa.Uuid(), nullable=False),
        sa.Column("database_name", sa.Text(), nullable=False),
        sa.Column("is_decoy", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("revision", sa.Text()),
        sa.Column("health", sa.Text()),
        sa.Column("health_error", sa.Text()),
        sa.Column("checked_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True)),
        sa.Column("failed_at", sa.DateTime(timezone=True)),
        sa.Column("drop_until", sa.DateTime(timezone=True)),
        sa.Column("dropped_at", sa.DateTime(timezone=True)),
        sa.Column("repair_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
        sa.UniqueConstraint("database_name", name="uq_organizations_database_name"),
        sa.CheckConstraint("status in ('provisioning', 'ready', 'failed')", name=op.f("ck_organizations_status")),
        sa.CheckConstraint("country ~ '^[A-Z]{2}$'", name=op.f("ck_organizations_country")),
        sa.CheckConstraint(
            "database_name = 'org_' || replace(id::text, '-', '')", name=op.f("ck_organizations_database_name")
        ),
        sa.CheckConstraint("(status = 'ready') = (ready_at is not null)", name=op.f("ck_organizations_ready_has_time")),
        sa.CheckConstraint(
            "(status = 'failed') = (failed_at is not null)", name=op.f("ck_organizations_failed_has_time")
        ),
    )
    op.create_index(
        "ix_organizations_failed_at", "organizations", ["failed_at"], postgresql_where=sa.text("status = 'failed'")
    )
    op.create_table(
        "organization_steps",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.Column("error_class", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("organization_id", "step", name="pk_organization_steps"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name="fk_organization_steps_organization_id_organizations",
            ondelete="CASCADE",
        ),
    )
    op.add_column("users", sa.Column("organization_id", sa.Uuid()))
    # At the end of the transaction: whether it is a decoy is known only once its founder has a token.
    op.create_foreign_key(
        "fk_users_organization_id_organizations",
        "users",
        "organizations",
        ["organization_id"],
        ["id"],
        deferrable=True,
        initially="DEFERRED",
    )
    op.create_index(
        "ix_users_organization_id",
        "users",
        ["organization_id"],
        postgresql_where=sa.text("organization_id is not null"),
    )
    _replace_channels(WITH_WORK)
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    op.execute("delete from outbox_messages where channel = 'provision'")
    _replace_channels(TO_PEOPLE)
    op.drop_index("ix_users_organization_id", table_name="users")
    op.drop_constraint("fk_users_organization_id_organizations", "users")
    op.drop_column("users", "organization_id")
    op.drop_table("organization_steps")
    op.drop_table("organizations")


def _replace_channels(condition: str) -> None:
    op.drop_constraint(op.f(CHANNEL), "outbox_messages")
    op.create_check_constraint(op.f(CHANNEL), "outbox_messages", condition)
