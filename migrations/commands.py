"""Run the migrations from code. `api-service migrate` and the tests use this module."""

from pathlib import Path

from sqlalchemy import text

from migrations.rights import ROLES
from shared.db.migrating import MigrationError, Migrations, exclusive_connection

_schema = Migrations(Path(__file__).parent)

configuration = _schema.configuration
upgrade = _schema.upgrade

PRECONDITIONS = text("""
select current_setting('server_encoding'),
       (select rolcreaterole or rolsuper from pg_roles where rolname = current_user),
       (select count(*) from pg_roles where rolname = any(:roles))
""")


class WrongEncodingError(MigrationError):
    """The database cannot store names and texts in all languages."""

    needed = "a database of encoding UTF8"


class RolesMissingError(MigrationError):
    """The roles do not exist, and this login may not create them."""

    needed = f"an owner with CREATEROLE, or roles that a superuser has made: {', '.join(ROLES)}"


def check_preconditions(database_url: str) -> None:
    """Raise MigrationError or a database error if the database cannot be migrated. Changes nothing."""
    with exclusive_connection(database_url, "alembic_version", application_name="api-service migrate") as connection:
        encoding, may_create_roles, count = connection.execute(PRECONDITIONS, {"roles": list(ROLES)}).one()
    if encoding != "UTF8":
        raise WrongEncodingError
    if count < len(ROLES) and not may_create_roles:
        raise RolesMissingError
