"""Create the organization, its members and its settings.

One role holds the privileges of all organizations, and each organization's role is a member of it. The right to connect
limits a role to its own database. So later tables need grants for one role only.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Checked first: without CREATEROLE, CREATE ROLE fails even if the role exists. Caught as well: several databases of one
# server may be migrated at the same moment.
MAKE_ROLE = """
do $$ begin
    if not exists (select from pg_roles where rolname = 'signpost_tenant') then
        create role signpost_tenant nologin;
    end if;
exception when duplicate_object or unique_violation then null;
end $$
"""

TABLES = (
    """
    create table organization (
        id uuid constraint pk_organization primary key,
        name text not null,
        country text,
        founded_at timestamptz not null default now()
    )
    """,
    """
    create table members (
        user_id uuid constraint pk_members primary key,
        full_name text not null,
        role text not null constraint ck_members_role check (role in ('founder', 'manager', 'member')),
        joined_at timestamptz not null default now()
    )
    """,
    "create unique index uq_members_founder on members (role) where role = 'founder'",
    """
    create table settings (
        name text constraint pk_settings primary key,
        value jsonb not null,
        changed_at timestamptz not null default now()
    )
    """,
)

GRANTS = (
    "revoke create on schema public from public",
    "grant usage on schema public to signpost_tenant",
    "grant select on schema_revision, organization to signpost_tenant",
    "grant update (name, country) on organization to signpost_tenant",
    "grant select, insert, update, delete on members, settings to signpost_tenant",
)


def upgrade() -> None:
    for statement in (MAKE_ROLE, *TABLES, *GRANTS):
        op.execute(statement)


def downgrade() -> None:
    for table in ("settings", "members", "organization"):
        op.execute(f"drop table {table}")
    op.execute("revoke all on schema_revision from signpost_tenant")
    op.execute("revoke usage on schema public from signpost_tenant")
