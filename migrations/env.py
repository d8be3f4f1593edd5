"""Run alembic with one connection, and with a transaction for each migration."""

from typing import Any

from shared.db.migrating import run_migrations
from shared.models import Base

PARTITION_PREFIX = "outbox_messages_"


def is_ours(_object: Any, name: str | None, kind: str, is_reflected: bool, _other: Any) -> bool:  # noqa: FBT001 - alembic's signature
    """Compare tables, columns and foreign keys with the models, without the partitions that come and go."""
    return kind not in ("index", "unique_constraint") and not (is_reflected and str(name).startswith(PARTITION_PREFIX))


run_migrations(
    "api-service migrate",
    "alembic_version",
    target_metadata=Base.metadata,
    include_object=is_ours,
    compare_server_default=True,
)
