"""What alembic runs around each migration of a tenant: one connection, one transaction a file, bounded waits."""

from alembic import context
from sqlalchemy import NullPool, create_engine, text

from shared.engine import engine_url
from tenants.revisions import VERSION_TABLE

LOCK_TIMEOUT = "3s"
"""Short: while a migration waits for a table, the organization's members wait behind it."""
STATEMENT_TIMEOUT = "15min"


def run() -> None:
    """Run what alembic was asked for."""
    url = engine_url(context.config.attributes["database_url"])
    engine = create_engine(
        url, poolclass=NullPool, hide_parameters=True, connect_args={"application_name": "tenants upgrade"}
    )
    with engine.connect() as connection:
        connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text(f"set statement_timeout = '{STATEMENT_TIMEOUT}'"))
        # Two at once would run the same file; the second waits, and then finds nothing to do.
        connection.execute(text(f"select pg_advisory_lock(hashtext('{VERSION_TABLE}'))"))
        connection.commit()
        context.configure(connection=connection, version_table=VERSION_TABLE, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


run()
