"""What alembic runs around each migration: one connection, one transaction a file, bounded waits."""

from typing import Any

from alembic import context
from sqlalchemy import NullPool, create_engine, text

from shared.engine import engine_url
from shared.models import Base

LOCK_TIMEOUT = "3s"
"""Short: while a migration waits for a lock, everyone who comes after it waits too."""
STATEMENT_TIMEOUT = "15min"
PARTITION_PREFIX = "outbox_messages_"


def is_ours(_object: Any, name: str | None, kind: str, is_reflected: bool, _other: Any) -> bool:  # noqa: FBT001 - alembic's signature
    """Leave partitions out of the comparison with the models: they come and go with the days."""
    return not (kind == "table" and is_reflected and str(name).startswith(PARTITION_PREFIX))


def run() -> None:
    """Run what alembic was asked for."""
    engine = create_engine(
        engine_url(context.config.attributes["database_url"]), poolclass=NullPool, hide_parameters=True
    )
    with engine.connect() as connection:
        connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text(f"set statement_timeout = '{STATEMENT_TIMEOUT}'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_object=is_ours,
            compare_server_default=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
