"""Run alembic with one connection, and with a transaction for each migration."""

from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationInfo

from migrations.revisions import REVISIONS
from migrations.rights import grant_rights
from shared.db.migrating import run_migrations
from shared.models import Base


def is_compared(_object: Any, _name: str | None, kind: str, is_reflected: bool, model: Any) -> bool:  # noqa: FBT001 - alembic's signature
    """Compare the tables that have a model: their columns and foreign keys. Partitions have none."""
    return kind not in ("index", "unique_constraint") and not (kind == "table" and is_reflected and model is None)


def grant_after_last(*, ctx: MigrationContext, step: MigrationInfo, **_more: Any) -> None:
    """Grant all rights in the transaction of the last migration, when every table exists."""
    if step.is_upgrade and step.up_revision_id == REVISIONS[-1] and ctx.connection:
        grant_rights(ctx.connection)


run_migrations(
    "api-service migrate",
    "alembic_version",
    target_metadata=Base.metadata,
    include_object=is_compared,
    compare_server_default=True,
    on_version_apply=grant_after_last,
)
