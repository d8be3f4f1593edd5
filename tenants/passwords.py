"""The passwords of all organizations' roles, derived anew from the newest key, so that an older one can go."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from shared.database import CONNECT_TIMEOUT_SECONDS, describe, driver_url
from shared.secrets import tenant_password
from shared.sessions import IN_UTF8
from tenants.databases import Failed
from tenants.naming import organization_id_of


@dataclass(frozen=True)
class Renewed:
    """A database whose role logs in with the newest key's password now."""

    database: str


def connect(url: str) -> psycopg.Connection[Any]:
    """Return a connection to the server on which passwords are changed; each change holds by itself."""
    return psycopg.connect(
        driver_url(url),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        application_name="tenants passwords",
        **IN_UTF8,
    )


def renew(
    connection: psycopg.Connection[Any], databases: Sequence[str], newest_key: bytes
) -> Iterator[Renewed | Failed]:
    """Give each one's role the newest password, and yield how that ended; whoever is connected stays so."""
    for name in databases:
        try:
            connection.execute(_statement(connection, name, newest_key))
        except psycopg.Error as error:
            yield Failed.of(name, describe(error))
        else:
            yield Renewed(name)


def _statement(connection: psycopg.Connection[Any], name: str, newest_key: bytes) -> sql.Composed:
    # As a verifier, so that no log of statements shows the password.
    password = tenant_password(organization_id_of(name), newest_key).encode()
    verifier = connection.pgconn.encrypt_password(password, name.encode(), b"scram-sha-256").decode()
    return sql.SQL("alter role {} password {}").format(sql.Identifier(name), sql.Literal(verifier))
