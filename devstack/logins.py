"""The logins under which the devstack's processes come to the database, one in each role."""

import psycopg

from shared.db.connection_settings import driver_url

LOGINS = {"api": "signpost_api", "relay": "signpost_relay", "console": "signpost_console"}


def create_logins(owner_url: str) -> None:
    """Make the logins; the database must be migrated, since a migration makes the roles."""
    with psycopg.connect(driver_url(owner_url), autocommit=True) as connection:
        for login, role in LOGINS.items():
            connection.execute(f"create role {login} login in role {role}")
