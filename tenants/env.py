"""Alembic's environment for organizations' databases: one connection, one transaction per migration."""

from alembic import context

from shared.db.migrating import exclusive_connection
from tenants.schema import VERSION_TABLE

LOCK_TIMEOUT = "20s"
"""Members can take the same advisory lock in their database. That must not delay all other organizations for long."""


def run() -> None:
    """Run the requested migrations."""
    url = context.config.attributes["database_url"]
    with exclusive_connection(
        url, VERSION_TABLE, application_name="tenants upgrade", lock_timeout=LOCK_TIMEOUT
    ) as connection:
        context.configure(connection=connection, version_table=VERSION_TABLE, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


run()
