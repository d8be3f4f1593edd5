"""Reports about unreachable databases and failed migrations, without names or addresses."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from devstack.cluster import QUICK_AND_FORGETFUL, Cluster, embedded_binaries
from shared.db.engine import create_database_engine
from shared.db.errors import describe
from tests.support.databases import memory_if_enough
from tests.support.forwarding import unused_port
from tests.support.processes import completed

pytestmark = pytest.mark.slow

ACCESS = """
local all  all    trust
host  all  nobody 127.0.0.1/32 reject
host  all  known  127.0.0.1/32 scram-sha-256
host  all  postgres,full,standby,poor 127.0.0.1/32 trust
"""


@pytest.fixture(scope="module")
def bare() -> Iterator[Cluster]:
    """Run a server without any object of the project, and with restricted access."""
    with Cluster(embedded_binaries(), settings=QUICK_AND_FORGETFUL, with_tcp=True, parent=memory_if_enough()) as bare:
        with owner(bare) as postgres:
            postgres.execute("create role known login password 'right'")
            postgres.execute("create role full login connection limit 0")
            postgres.execute("create role standby login")
            postgres.execute("alter role standby set default_transaction_read_only = on")
            postgres.execute("create role poor login")
            postgres.execute("create database poors owner poor")
            for encoding in ("LATIN1", "SQL_ASCII"):
                postgres.execute(f"create database {encoding} encoding '{encoding}' template template0")
            (bare.folder / "data" / "pg_hba.conf").write_text(ACCESS)
            postgres.execute("select pg_reload_conf()")
        yield bare


def owner(cluster: Cluster) -> psycopg.Connection:
    return psycopg.connect(f"host={cluster.folder} port={cluster.port} user=postgres dbname=postgres", autocommit=True)


@pytest.mark.parametrize(
    ("to", "cause"),
    [
        ("known:wrong@127.0.0.1:PORT/postgres", "wrong password or role"),
        ("known@127.0.0.1:PORT/postgres", "wrong password or role"),
        ("postgres@127.0.0.1:PORT/refused", "no such database"),
        ("nobody@127.0.0.1:PORT/postgres", "no pg_hba.conf entry"),
        ("stranger@127.0.0.1:PORT/postgres", "no pg_hba.conf entry"),
        ("full@127.0.0.1:PORT/postgres", "too many connections"),
        ("standby@127.0.0.1:PORT/postgres?target_session_attrs=read-write", "read-only"),
        ("postgres@127.0.0.1:PORT/postgres?sslmode=require", "TLS"),
        ("postgres@nowhere.invalid:PORT/postgres", "no such host"),
        ("postgres@127.0.0.1:UNUSED/timeout", "refused"),
        ("postgres@/postgres?host=/nowhere", "refused"),
    ],
)
def test_each_connection_failure_is_recognized_by_its_own_text_only(bare: Cluster, to: str, cause: str) -> None:
    url = f"postgresql+psycopg://{to.replace('PORT', str(bare.port)).replace('UNUSED', str(unused_port()))}"
    engine = create_database_engine(url, application_name="test", pool_size=1)
    with pytest.raises(OperationalError) as failed:
        engine.connect()
    described = describe(failed.value)
    assert described == {"error": "OperationalError", "sqlstate": None, "constraint": None, "cause": cause}


def test_an_error_of_a_statement_has_no_connection_failure(bare: Cluster) -> None:
    with owner(bare) as postgres, pytest.raises(psycopg.Error) as failed:
        postgres.execute("do $$ begin raise 'connection refused' using errcode = '08006'; end $$")
    assert "cause" not in describe(failed.value)


@pytest.mark.parametrize(
    ("user", "database", "error", "needed"),
    [
        ("postgres", "latin1", "WrongEncodingError", "a database of encoding UTF8"),
        ("postgres", "sql_ascii", "WrongEncodingError", "a database of encoding UTF8"),
        ("poor", "poors", "RolesMissingError", "an owner with CREATEROLE"),
    ],
)
def test_a_failed_migration_is_reported_in_one_line(
    bare: Cluster, user: str, database: str, error: str, needed: str
) -> None:
    done = completed(("api-service", "migrate"), {"DATABASE_URL": bare.url(database, user=user)})
    [line] = map(json.loads, done.stderr.splitlines())
    assert (done.returncode, line["event"], line["error"]) == (1, "schema not migrated", error)
    assert line["needed"].startswith(needed)
