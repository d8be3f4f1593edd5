"""Causes of failed connections in libpq's texts."""

import pytest

from shared.db.errors import ConnectionFailure as Failure
from shared.db.errors import connection_failure_in


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
        ("server closed the connection unexpectedly", None),
    ],
)
def test_a_cause_is_found_by_libpqs_text_and_not_by_a_quoted_name(text: str, cause: Failure | None) -> None:
    message = f'connection failed: connection to server at "refused.example", port 5432 failed: {text}'
    assert connection_failure_in(message) is cause
