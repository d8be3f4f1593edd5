"""All organizations' databases brought to one revision: side by side, and each by itself.

What is left to do is read from the databases themselves, so there is nothing to lose when it is broken off.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared.database import CONNECT_TIMEOUT_SECONDS, driver_url
from shared.sessions import IN_UTF8
from tenants.helper import Facts, Helper
from tenants.naming import is_of_an_organization
from tenants.revisions import VERSION_TABLE, is_behind

OWNED = """
select datname from pg_database
 where datdba = (select oid from pg_roles where rolname = current_user) order by datname
"""


@dataclass(frozen=True)
class Upgraded:
    """A database that has this release's revision now."""

    database: str


@dataclass(frozen=True)
class Failed:
    """A database that was left as it was, and why."""

    database: str
    error: str
    sqlstate: str | None

    @classmethod
    def of(cls, database: str, facts: Facts) -> Self:
        """Tell of a database by what may be told of an error."""
        return cls(database, str(facts["error"]), facts["sqlstate"])


Ended = Upgraded | Failed


def databases_behind(url: str) -> list[str]:
    """Return the organizations' databases that are not at this release's revision, the oldest first.

    One that cannot be asked is among them: its upgrade will tell why.
    """
    with psycopg.connect(
        driver_url(url), autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS, **IN_UTF8
    ) as connection:
        names = databases_of_organizations(connection)
    return [name for name in names if _needs_upgrade(url, name)]


def databases_of_organizations(connection: psycopg.Connection[Any]) -> list[str]:
    """Return all that this login owns, the oldest organization first: its id, and so the name, begins with its time."""
    return [name for (name,) in connection.execute(OWNED) if is_of_an_organization(name)]


def upgrade_all(url: str, databases: list[str], at_once: int) -> Iterator[Ended]:
    """Upgrade them, ``at_once`` side by side, and yield how each ended, as they end.

    In processes: alembic keeps what it works on in globals. Each imports it once, for all that it is given.
    """
    helpers: SimpleQueue[Helper] = SimpleQueue()
    with ExitStack() as ending:
        for _ in range(min(at_once, len(databases))):
            helpers.put(ending.enter_context(Helper()))
        threads = ending.enter_context(ThreadPoolExecutor(at_once))
        ending.callback(threads.shutdown, cancel_futures=True)
        running = {threads.submit(_upgrade_with_one_of, helpers, url_of(url, name)): name for name in databases}
        for future in as_completed(running):
            yield _ended(running[future], future.result())


def _upgrade_with_one_of(helpers: "SimpleQueue[Helper]", url: str) -> Facts:
    helper = helpers.get()
    try:
        return helper.upgrade(url)
    finally:
        helpers.put(helper)


def _ended(database: str, failure: Facts) -> Ended:
    return Failed.of(database, failure) if failure else Upgraded(database)


def url_of(url: str, database: str) -> str:
    """Return the URL of another database on the same server, in the driver's form."""
    parts: dict[str, Any] = dict(conninfo_to_dict(driver_url(url)))
    return make_conninfo(**parts | {"dbname": database})


def _needs_upgrade(url: str, database: str) -> bool:
    try:
        with psycopg.connect(url_of(url, database), connect_timeout=CONNECT_TIMEOUT_SECONDS, **IN_UTF8) as connection:
            row = connection.execute(f"select version_num from public.{VERSION_TABLE}").fetchone()  # noqa: S608 - a name of our own
    except psycopg.Error:
        return True
    return row is None or is_behind(row[0])
