"""What a database and its owner must be like before anything is migrated, so that it is said in words."""

from sqlalchemy import text

from migrations.rights import ROLES
from shared.db.migrating import MigrationError, exclusive_connection

LOOK = text("""
select current_setting('server_encoding'),
       (select rolcreaterole or rolsuper from pg_roles where rolname = current_user),
       (select count(*) from pg_roles where rolname = any(:roles))
""")


class WrongEncodingError(MigrationError):
    """Names and texts in any language could not be kept in that database."""

    needed = "a database of encoding UTF8"


class RolesMissingError(MigrationError):
    """The roles are not there, and this login may not make them."""

    needed = f"an owner with CREATEROLE, or roles that a superuser has made: {', '.join(ROLES)}"


def refuse_what_cannot_be(database_url: str) -> None:
    """Raise MigrationError or a database error if migrating would fail. Changes nothing."""
    with exclusive_connection(database_url, "alembic_version", application_name="api-service migrate") as connection:
        encoding, may_make_roles, count = connection.execute(LOOK, {"roles": list(ROLES)}).one()
    if encoding != "UTF8":
        raise WrongEncodingError
    if count < len(ROLES) and not may_make_roles:
        raise RolesMissingError
