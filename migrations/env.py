"""Run alembic with one connection, and with a transaction for each migration."""

from typing import Any

from alembic import context

from shared.db.migrating import exclusive_connection
from shared.models import Base

VERSION_TABLE = "alembic_version"
PARTITION_PREFIX = "outbox_messages_"


def is_ours(_object: Any, name: str | None, kind: str, is_reflected: bool, _other: Any) -> bool:  # noqa: FBT001 - alembic's signature
    """Compare tables, columns and foreign keys with the models, without the partitions that come and go."""
    return kind not in ("index", "unique_constraint") and not (is_reflected and str(name).startswith(PARTITION_PREFIX))


def run() -> None:
    """Run the command that alembic received."""
    url = context.config.attributes["database_url"]
    with exclusive_connection(url, VERSION_TABLE, application_name="api-service migrate") as connection:
        context.configure(
            connection=connection,
            version_table=VERSION_TABLE,
            target_metadata=Base.metadata,
            include_object=is_ours,
            compare_server_default=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
