"""A dump restored on a server without the roles, and the steps that the docs describe."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest

from devstack.cluster import QUICK_AND_FORGETFUL, Cluster
from devstack.logins import create_logins
from migrations.rights import RightsMissingError, restore_rights
from shared.db.connection_settings import driver_url
from tests.support.databases import Database, is_refused, memory_if_enough
from tests.support.mail_sink import MailSink
from tests.support.operators import put_dead
from tests.support.outbox import Outbox
from tests.support.processes import completed
from tests.support.relays import relay_once

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "upgrades.md"
SQL = re.compile(r"^ *```sql\n(.+?)^ *```$", re.MULTILINE | re.DOTALL)
SQL_OF_THE_DOCS = [dedent(block) for block in SQL.findall(PAGE.read_text())]
UP_TO_DATE = "schema: up to date\n"


@contextmanager
def restored_elsewhere(database: Database) -> Iterator[Database]:
    """Dump the database and restore it on another server, where only the dump's owner exists."""
    binaries = database.cluster.binaries
    dump = subprocess.run(
        [binaries / "pg_dump", driver_url(database.owner_url)], capture_output=True, text=True, check=True
    ).stdout
    with Cluster(binaries, settings=QUICK_AND_FORGETFUL, parent=memory_if_enough()) as other:
        with psycopg.connect(driver_url(other.url("postgres")), autocommit=True) as admin:
            admin.execute("create database restored")
        copy = Database(other, "restored")
        psql = [binaries / "psql", "--no-psqlrc", "--quiet", driver_url(copy.owner_url)]
        subprocess.run(psql, input=dump, capture_output=True, text=True, check=True)
        with copy.ending:
            yield copy


def migrated(url: str) -> "subprocess.CompletedProcess[str]":
    return completed(("api-service", "migrate"), {"DATABASE_URL": url})


@pytest.fixture(scope="module")
def tools(cluster: Cluster) -> None:
    if not (cluster.binaries / "pg_dump").exists():
        pytest.skip("these binaries of PostgreSQL have no pg_dump")


@pytest.mark.usefixtures("tools")
def test_a_migration_recreates_the_roles_with_all_their_rights(outbox: Outbox) -> None:
    outbox.make_partitions()
    [message_id] = outbox.put()
    with restored_elsewhere(outbox.database) as restored:
        assert migrated(restored.owner_url).stdout == UP_TO_DATE
        create_logins(restored.owner_url)
        assert rights_of(restored) == rights_of(outbox.database)
        assert Outbox(restored).claim()[0].id == message_id
        assert is_refused(restored.relay_url, "select * from users")


def test_missing_rights_are_restored_and_reported(database: Database) -> None:
    before = rights_of(database)
    with database.connect() as owner:
        owner.execute("revoke select on users from signpost_api")
        owner.execute("revoke execute on function signpost_make_partitions(integer) from signpost_relay")
    result = migrated(database.owner_url)
    [line] = map(json.loads, result.stderr.splitlines())
    assert (result.returncode, result.stdout, line["event"], line["count"]) == (0, UP_TO_DATE, "rights restored", 2)
    assert rights_of(database) == before
    again = migrated(database.owner_url)
    assert (again.stdout, again.stderr) == (UP_TO_DATE, "")


def test_additional_and_public_rights_are_not_missing(database: Database) -> None:
    with database.connect() as owner:
        owner.execute("grant delete on tokens to signpost_api")
        owner.execute("revoke usage on schema public from signpost_api")
        owner.execute("grant usage on schema public to public")
    result = migrated(database.owner_url)
    assert (result.stdout, result.stderr) == (UP_TO_DATE, "")


def test_rights_that_only_another_owner_can_grant_are_reported(database: Database) -> None:
    with database.connect() as owner:
        owner.execute("revoke insert on idempotency_keys from signpost_api")
        owner.execute("create role passer_by login")
    try:
        with pytest.raises(RightsMissingError) as refused:
            restore_rights(database.cluster.url(database.name, user="passer_by"))
    finally:
        with database.connect() as owner:
            owner.execute("drop role passer_by")
    assert refused.value.needed == "grant insert on idempotency_keys to signpost_api"


def rights_of(database: Database) -> set[tuple[str, ...]]:
    """Return the rights on each table, column and function."""
    query = """
    select relname::text, '', acl::text from pg_class, unnest(relacl) as acl where relnamespace = 'public'::regnamespace
    union all
    select attrelid::regclass::text, attname::text, acl::text from pg_attribute, unnest(attacl) as acl
     where attrelid > 16384
    union all
    select oid::regprocedure::text, '', acl::text from pg_proc, unnest(proacl) as acl
     where pronamespace = 'public'::regnamespace
    """
    with database.connect() as owner:
        return set(owner.execute(query).fetchall())


@pytest.mark.usefixtures("tools")
def test_the_statements_of_the_docs_settle_messages_that_a_provider_accepted(
    outbox: Outbox, sink: MailSink, tmp_path: Path
) -> None:
    had, leased, lost = outbox.put(count=3)
    outbox.execute("update outbox_messages set lease_token = id, leased_until = now() where id = %s", leased)
    [dead] = put_dead(outbox)
    (tmp_path / "ids").write_text(f"{had}\n{leased}\n{dead}\n")
    [statements] = [block for block in SQL_OF_THE_DOCS if "\\copy" in block]
    psql = [outbox.database.cluster.binaries / "psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1"]
    subprocess.run(
        [*psql, driver_url(outbox.database.owner_url)], input=statements, text=True, cwd=tmp_path, check=True
    )
    rows = [outbox.row(message_id) for message_id in (had, leased, lost, dead)]
    assert [(row.status, row.attempt, row.lease_token) for row in rows] == [
        ("sent", 1, None), ("sent", 1, None), ("pending", 0, None), ("dead", 0, None),
    ]  # fmt: skip
    assert relay_once(outbox.database, EMAIL_PROVIDERS=sink.provider) == 0
    assert sink.arrived == {f"{lost}@signpost.example": 1}
