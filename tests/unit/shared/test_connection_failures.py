"""Causes of failed connections in libpq's texts."""

import pytest
from psycopg.errors import ConnectionTimeout

from shared.db.errors import ConnectionFailure as Failure
from shared.db.errors import connection_failure_in, describe


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("FATAL:  the database system is starting up", Failure.BETWEEN),
        ("FATAL:  the database system is shutting down", Failure.BETWEEN),
        ("FATAL:  the database system is not yet accepting connections", Failure.BETWEEN),
        ("FATAL:  sorry, too many clients already", Failure.FULL),
        (
            "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
            Failure.FULL,
        ),
        ('FATAL:  role "password authentication failed" does not exist', Failure.CREDENTIALS),
        ('FATAL:  database "too many connections" does not exist', Failure.DATABASE),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "ssl", database "d", SSL off',
            Failure.ACCESS,
        ),
        ("SSL error: certificate verify failed", Failure.TLS),
        ("timeout expired", Failure.TIMEOUT),
        ("No route to host", Failure.UNREACHABLE),
        ("FATAL:  Passwort-Authentifizierung für Benutzer »api« fehlgeschlagen", None),
        ("server closed the connection unexpectedly", Failure.CLOSED),
        ("consuming input failed: could not receive data from server: Connection timed out", Failure.TIMEOUT),
        ("SSL connection has been closed unexpectedly", Failure.CLOSED),
        ("SSL SYSCALL error: EOF detected", Failure.CLOSED),
        ("the connection is lost", Failure.CLOSED),
        ("FATAL:  terminating connection due to administrator command\nserver closed the connection", Failure.ENDED),
    ],
)
def test_a_cause_is_found_by_libpqs_text_and_not_by_a_quoted_name(text: str, cause: Failure | None) -> None:
    message = f'connection failed: connection to server at "refused.example", port 5432 failed: {text}'
    assert connection_failure_in(message) is cause


def test_a_statement_without_a_response_has_timed_out() -> None:
    assert describe(ConnectionTimeout("no response"))["cause"] == "timed out"
