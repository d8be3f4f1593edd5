"""Settings of database connections and sessions that also work behind a pooler.

PgBouncer in transaction mode lends a server session for one transaction at a time. It refuses or drops libpq's
``options``, and a setting made by one client would stay for the next. So a process applies its settings once in its
own session, and in each transaction of a borrowed session.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from shared.urls import HIGHEST_PORT

CONNECT_TIMEOUT_SECONDS = 5

KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""libpq's options that detect a dead connection within half a minute (seconds, milliseconds)."""

UTF8: dict[str, Any] = {"client_encoding": "UTF8"}
"""libpq's option for the encoding, which a pooler passes on. It applies from the first message of the server."""

# Role, database and server may have settings that were made for other clients. psycopg reads ISO dates only, and all of
# Signpost's tables are in this schema.
BASE_SETTINGS = {"datestyle": "ISO", "search_path": "public", "timezone": "UTC"}

# Listeners are idle for hours. Does not apply to a pooler's session, which is not ours to keep.
NO_IDLE_TIMEOUT = {"idle_session_timeout": "0"}

# A pooler reports a made-up process id to its clients, for cancel requests. So the condition is false in a borrowed
# session, where the settings would affect other clients.
SET_IN_OWN_SESSION = """
select set_config(name, value, false)
  from unnest(%s::text[], %s::text[]) as setting (name, value)
 where pg_backend_pid() = %s
"""
"""Returns no row in a pooler's session."""

# enable_seqscan: a partition may be empty when the plan is made, and full while the plan is still in use. jit: a plan
# that needs a sequential scan all the same has a high cost, which triggers compilation before PostgreSQL 18.
GENERIC_PLANS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}
"""For sessions of our own that repeat a few statements: plan each once, for all parameters.

Otherwise PostgreSQL plans a statement at least five times, for all partitions each time.
Do not use it in borrowed sessions: they keep no prepared statements, so a plan for the actual parameters is better.
"""


def driver_url(url: str) -> str:
    """Return psycopg's form of a ``postgresql+psycopg://`` URL."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def is_database_url(url: str) -> bool:
    """Return whether psycopg can parse the URL and the result is unambiguous."""
    try:
        parts = conninfo_to_dict(driver_url(url))
    except psycopg.Error:
        return False
    return bool(parts.get("dbname")) and _are_valid_ports(str(parts.get("port", ""))) and _is_unambiguous(url)


def _are_valid_ports(listed: str) -> bool:
    """Return whether each port in a list is valid or empty."""
    return all(not port or (port.isdecimal() and int(port) <= HIGHEST_PORT) for port in listed.split(","))


def _is_unambiguous(url: str) -> bool:
    """Return whether the password has no unescaped "@" or "/", which would change host, port or database."""
    login_and_host, _, database = url.partition("?")[0].partition("://")[2].partition("/")
    return login_and_host.count("@") <= 1 and "@" not in database


def own_session_parameters(settings: Mapping[str, str], backend_pid: int) -> list[Any]:
    """Return the parameters of SET_IN_OWN_SESSION for these settings and the base settings.

    ``backend_pid`` is the server's process id as reported to the client.
    """
    all_settings = {**BASE_SETTINGS, **NO_IDLE_TIMEOUT, **settings}
    return [list(all_settings), list(all_settings.values()), backend_pid]


def set_in_transaction(settings: Mapping[str, str]) -> str:
    """Return a statement that applies these and the base settings until the transaction ends.

    Names and values are inserted unescaped, so they must be constants.
    """
    all_settings = {**BASE_SETTINGS, **settings}
    calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in all_settings.items())
    return f"select {calls}"
