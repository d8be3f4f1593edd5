"""The passwords of all organizations' roles, derived anew from the newest key, so that an older one can go."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from shared.database import CONNECT_TIMEOUT_SECONDS, describe, driver_url
from shared.secrets import tenant_password
from tenants.everyone import Failed, databases_of_organizations
from tenants.naming import organization_id_of


@dataclass(frozen=True)
class Renewed:
    """A database whose role logs in with the newest key's password now."""

    database: str


class Passwords:
    """The server, while passwords are changed on it, by one connection; each change holds by itself."""

    def __init__(self, url: str, newest_key: bytes) -> None:
        self._connection = psycopg.connect(
            driver_url(url),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name="tenants passwords",
        )
        self._key = newest_key

    def databases(self) -> list[str]:
        """Return the organizations' databases, the oldest first."""
        return databases_of_organizations(self._connection)

    def renew(self, databases: list[str]) -> Iterator[Renewed | Failed]:
        """Give each one's role the newest password, and yield how that ended; whoever is connected stays so."""
        with self._connection as connection:
            for name in databases:
                try:
                    connection.execute(self._statement(name))
                except psycopg.Error as error:
                    facts = describe(error)
                    yield Failed(name, str(facts["error"]), facts["sqlstate"])
                else:
                    yield Renewed(name)

    def _statement(self, name: str) -> sql.Composed:
        # As a verifier, so that no log of statements shows the password.
        password = tenant_password(organization_id_of(name), self._key).encode()
        verifier = self._connection.pgconn.encrypt_password(password, name.encode(), b"scram-sha-256").decode()
        return sql.SQL("alter role {} password {}").format(sql.Identifier(name), sql.Literal(verifier))
