"""Settings of a database session, in a form that holds behind a pooler too.

PgBouncer in transaction mode lends a session of the server's for one transaction at a time. It refuses
or drops what libpq sends as ``options``, and what one client sets would stay for the next. So a
session's settings are set once, for good, where the session is our own, and in each transaction where
it is not.
"""

from collections.abc import Mapping
from typing import Any

IN_UTF8: dict[str, Any] = {"client_encoding": "UTF8"}
"""How a connection is made (libpq): a pooler passes it on, and what is first read of the server is text already."""

# Role, database and server may each have settings of their own, made for somebody else. Of another way of writing
# dates psycopg reads none, and in another schema there is nothing of ours.
WHATEVER_ELSE_IS_SET = {"datestyle": "ISO", "search_path": "public", "timezone": "UTC"}

# Listeners have nothing to say for hours. A pooler's session is not ours to keep.
NEVER_TOO_IDLE = {"idle_session_timeout": "0"}

# A pooler tells its clients a process id of its own invention, to find them by when they cancel.
# Nothing is set in a session that is another's the next moment.
SET_IN_OWN_SESSION = """
select set_config(name, value, false)
  from unnest(%s::text[], %s::text[]) as setting (name, value)
 where pg_backend_pid() = %s
"""
"""Returns no row where the session is not our own."""

# enable_seqscan: tomorrow's partition is empty when the plan is made, and full when it still holds. jit: before
# PostgreSQL 18 a plan that cannot do without such a scan is priced so high for it that it gets compiled.
PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}
"""Of a session of our own that runs the same statements over and over: one plan each, for whatever parameters.

PostgreSQL would else plan each of them ten times before it believes so, or for ever, and each time for all partitions:
with those of ninety days 30 to 150 ms. In a session that is lent nothing stays prepared: there, what is planned each
time is better planned for the parameters at hand.
"""


def own_session_parameters(settings: Mapping[str, str], told_pid: int) -> list[Any]:
    """Return the parameters of SET_IN_OWN_SESSION, for these settings and those that all sessions need.

    ``told_pid`` is what the connection was told of its server.
    """
    all_settings = {**WHATEVER_ELSE_IS_SET, **NEVER_TOO_IDLE, **settings}
    return [list(all_settings), list(all_settings.values()), told_pid]


def set_in_transaction(settings: Mapping[str, str]) -> str:
    """Return a statement that makes them, and those that all sessions need, hold until the transaction ends.

    Names and values are our own.
    """
    all_settings = {**WHATEVER_ELSE_IS_SET, **settings}
    calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in all_settings.items())
    return f"select {calls}"
