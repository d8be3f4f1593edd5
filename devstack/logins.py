"""The database logins of the devstack's processes, one for each role."""

from pathlib import Path

import psycopg

from shared.db.connection_settings import driver_url

LOGINS = {
    "api": "signpost_api",
    "relay": "signpost_relay",
    "console": "signpost_console",
    "receiver": "signpost_receiver",
}

ORGANIZER = "organizer"

# The first line that matches decides. The organizer is a member of the role, because it created it.
ACCESS_TO_ORGANIZATIONS = f"""
local  all       {ORGANIZER}         trust
local  sameuser  +signpost_tenant  scram-sha-256
local  all       +signpost_tenant  reject
"""


def create_logins(owner_url: str) -> None:
    """Create the logins. The database must be migrated, because a migration creates the roles."""
    with psycopg.connect(driver_url(owner_url), autocommit=True) as connection:
        for login, role in LOGINS.items():
            connection.execute(f"create role {login} login in role {role}")


def create_organizer(owner_url: str, access_file: Path) -> None:
    """Create the login that creates organizations' databases, and let their roles connect with their passwords only.

    ``access_file`` is the server's pg_hba.conf.
    """
    access_file.write_text(ACCESS_TO_ORGANIZATIONS + access_file.read_text())
    with psycopg.connect(driver_url(owner_url), autocommit=True) as connection:
        connection.execute(f"create role {ORGANIZER} login createdb createrole")
        connection.execute("revoke connect on database postgres, template1 from public")
        connection.execute(f"grant connect on database postgres to {ORGANIZER}")
        connection.execute("select pg_reload_conf()")
