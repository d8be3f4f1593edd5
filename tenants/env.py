"""Alembic's environment for organizations' databases: one connection, one transaction per migration."""

from shared.db.migrating import run_migrations
from tenants.schema import VERSION_TABLE

LOCK_TIMEOUT = "20s"
"""Members can take the same advisory lock in their database. That must not delay all other organizations for long."""


run_migrations("tenants upgrade", VERSION_TABLE, lock_timeout=LOCK_TIMEOUT)
