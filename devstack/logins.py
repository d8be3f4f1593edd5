"""The database logins of the devstack's processes, one for each role."""

import psycopg

from shared.db.connection_settings import driver_url

LOGINS = {
    "api": "signpost_api",
    "relay": "signpost_relay",
    "console": "signpost_console",
    "receiver": "signpost_receiver",
}


def create_logins(owner_url: str) -> None:
    """Create the logins. The database must be migrated, because a migration creates the roles."""
    with psycopg.connect(driver_url(owner_url), autocommit=True) as connection:
        for login, role in LOGINS.items():
            connection.execute(f"create role {login} login in role {role}")
