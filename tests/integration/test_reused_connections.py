"""Tests reuse the connections with which they read rows, and each use starts with a clean session."""

import pytest
from psycopg import Connection
from psycopg.errors import AdminShutdown

from tests.support.databases import Database

BACKEND = "select pg_backend_pid()"


def the_one(connection: Connection, query: str) -> object:
    [(found,)] = connection.execute(query)
    return found


def test_a_connection_is_reused_without_state_of_its_last_use(database: Database) -> None:
    with database.connect() as first:
        backend = the_one(first, BACKEND)
        first.execute("create temporary table mine (id int)")
        first.execute("set search_path to nowhere")
        first.execute("select pg_advisory_lock(1)")
    with database.connect() as again:
        assert the_one(again, BACKEND) == backend
        assert the_one(again, "select to_regclass('pg_temp.mine')") is None
        assert the_one(again, "show search_path") != "nowhere"
        assert the_one(again, "select count(*) from pg_locks where locktype = 'advisory'") == 0


def test_concurrent_uses_get_different_connections(database: Database) -> None:
    with database.connect() as first, database.connect() as second:
        assert the_one(first, BACKEND) != the_one(second, BACKEND)


def test_a_connection_left_in_a_transaction_is_not_reused(database: Database) -> None:
    with database.connect() as connection:
        backend = the_one(connection, BACKEND)
        connection.execute("begin")
    with database.connect() as another:
        assert the_one(another, BACKEND) != backend


def test_a_broken_connection_is_not_reused(database: Database) -> None:
    with database.connect() as connection, database.connect() as other:
        backend = the_one(connection, BACKEND)
        other.execute("select pg_terminate_backend(%s, 5000)", [backend])
        with pytest.raises(AdminShutdown):
            connection.execute("select 1")
    with database.connect() as first, database.connect() as second:
        assert backend not in (the_one(first, BACKEND), the_one(second, BACKEND))
