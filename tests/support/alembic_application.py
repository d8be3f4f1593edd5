"""An application whose organizations' databases have a schema by Alembic, in the form of `alembic init`."""

from pathlib import Path

ENV = """
from alembic import context
from sqlalchemy import engine_from_config, pool

engine = engine_from_config(context.config.get_section("alembic", {}), prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {down_revision!r}


def upgrade():
    op.create_table({table!r}, sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=True), {columns})
"""


def alembic_application(parent: Path) -> Path:
    """Write the environment with a first migration, and return its folder."""
    folder = parent / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(ENV)
    (folder / "script.py.mako").write_text("")
    _add(folder, "0001", None, "patients", "sa.Column('name', sa.Text)")
    return folder


def next_release(folder: Path) -> None:
    """Add a second migration."""
    _add(folder, "0002", "0001", "visits", "sa.Column('patient_id', sa.BigInteger, sa.ForeignKey('patients.id'))")


def _add(folder: Path, revision: str, down_revision: str | None, table: str, columns: str) -> None:
    text = MIGRATION.format(revision=revision, down_revision=down_revision, table=table, columns=columns)
    (folder / "versions" / f"{revision}.py").write_text(text)
