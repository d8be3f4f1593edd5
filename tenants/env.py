"""What alembic runs around each migration of a tenant: one connection, one transaction a file."""

from alembic import context

from shared.migrating import connected_alone
from tenants.revisions import VERSION_TABLE

PATIENCE = "20s"
"""Members can take the same lock in their database: that must not hold up all other organizations' for long."""


def run() -> None:
    """Run what alembic was asked for."""
    url = context.config.attributes["database_url"]
    with connected_alone(url, VERSION_TABLE, application_name="tenants upgrade", patience=PATIENCE) as connection:
        context.configure(connection=connection, version_table=VERSION_TABLE, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


run()
