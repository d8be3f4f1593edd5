"""The database errors that mean that the database is unavailable."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from shared.db.engine import create_database_engine, engine_url, is_database_unavailable
from shared.db.errors import describe
from tests.support.databases import Database
from tests.support.forwarding import unused_port

MORE_PARAMETERS_THAN_THE_PROTOCOL_COUNTS = 65_536


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    engine = create_database_engine(database.api_url, application_name="test", pool_size=1)
    yield engine
    engine.dispose()


def failure(engine: Engine, statement: str) -> SQLAlchemyError:
    with engine.connect() as connection, pytest.raises(SQLAlchemyError) as failed:
        connection.execute(text(statement))
    return failed.value


def test_an_unreachable_server_is_unavailable() -> None:
    engine = create_engine(f"postgresql+psycopg://api@127.0.0.1:{unused_port()}/signpost")
    with pytest.raises(SQLAlchemyError) as failed:
        engine.connect()
    assert is_database_unavailable(failed.value)


def test_a_server_that_disconnects_or_times_out_is_unavailable(engine: Engine) -> None:
    assert is_database_unavailable(failure(engine, "select pg_terminate_backend(pg_backend_pid())"))
    assert is_database_unavailable(failure(engine, "set statement_timeout = 1; select pg_sleep(1)"))


def test_a_server_without_free_connections_is_unavailable(engine: Engine) -> None:
    impatient = create_engine(engine.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with impatient.connect(), pytest.raises(SQLAlchemyError) as failed:
        impatient.connect()
    impatient.dispose()
    assert is_database_unavailable(failed.value)


@pytest.mark.parametrize(
    "statement",
    ["select 1 / 0", "select * from nowhere", "insert into users default values", "do $$ begin raise 'P0001'; end $$"],
)
def test_a_server_that_rejects_a_statement_is_available(engine: Engine, statement: str) -> None:
    assert not is_database_unavailable(failure(engine, statement))


def test_a_statement_that_cannot_be_sent_is_a_programming_error(engine: Engine) -> None:
    numbers = tuple(range(MORE_PARAMETERS_THAN_THE_PROTOCOL_COUNTS))
    statement = f"select 1 where 1 in ({', '.join(['%s'] * len(numbers))})"
    with engine.connect() as connection, pytest.raises(SQLAlchemyError) as failed:
        connection.exec_driver_sql(statement, numbers)
    assert not is_database_unavailable(failed.value)


def test_other_exceptions_do_not_mean_unavailable() -> None:
    assert not is_database_unavailable(ValueError())


def test_an_engine_reads_a_url_as_libpq_does_and_hides_its_password() -> None:
    url = engine_url("postgresql+psycopg://api:s%40crt@[::1]:5433,second:5434/signpost?target_session_attrs=read-write")
    [_, arguments] = create_engine(url).dialect.create_connect_args(url)
    del arguments["context"]
    assert arguments == {
        "user": "api",
        "password": "s@crt",
        "host": "::1,second",
        "port": "5433,5434",
        "dbname": "signpost",
        "target_session_attrs": "read-write",
    }
    assert "crt" not in repr(url)


def test_a_connection_that_the_server_closed_is_replaced_before_its_next_use(
    engine: Engine, database: Database
) -> None:
    with engine.connect() as connection:
        closed = connection.scalar(text("select pg_backend_pid()"))
    with database.connect() as owner:
        owner.execute("select pg_terminate_backend(%s, 10000)", [closed])
    with engine.connect() as connection:
        assert connection.scalar(text("select pg_backend_pid()")) != closed


def test_a_working_connection_is_reused_after_a_pause(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for longest_rest in (5, 0, 0):
        monkeypatch.setattr("shared.db.engine.MAX_IDLE_SECONDS", longest_rest)
        with engine.connect() as connection:
            seen.append(connection.scalar(text("select pg_backend_pid()")))
    assert len(set(seen)) == 1


def test_a_violation_is_described_by_its_constraint_and_without_the_row(engine: Engine) -> None:
    statement = (
        "insert into idempotency_keys (id, fingerprint, status, headers, body) values ('ada', '', 200, '{}', '')"
    )
    with engine.begin() as connection:
        connection.execute(text(statement))

    violation = failure(engine, statement)

    expected = {"error": "UniqueViolation", "sqlstate": "23505", "constraint": "idempotency_keys_pkey"}
    assert describe(violation) == describe(violation.__cause__ or violation) == expected
    assert describe(ValueError("ada")) == {"error": "ValueError", "sqlstate": None, "constraint": None}
