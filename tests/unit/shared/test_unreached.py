"""What is found in PostgreSQL's words about a connection that did not come about."""

import pytest

from shared.unreached import Cause, cause_in


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("FATAL:  the database system is starting up", Cause.BETWEEN),
        ("FATAL:  the database system is shutting down", Cause.BETWEEN),
        ("FATAL:  the database system is not yet accepting connections", Cause.BETWEEN),
        ("FATAL:  sorry, too many clients already", Cause.FULL),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", Cause.FULL),
        ('FATAL:  role "password authentication failed" does not exist', Cause.CREDENTIALS),
        ('FATAL:  database "too many connections" does not exist', Cause.DATABASE),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "ssl", database "d", SSL off', Cause.ACCESS),
        ("SSL error: certificate verify failed", Cause.TLS),
        ("timeout expired", Cause.TIMEOUT),
        ("No route to host", Cause.UNREACHABLE),
        ("FATAL:  Passwort-Authentifizierung für Benutzer »api« fehlgeschlagen", None),
        ("server closed the connection unexpectedly", None),
    ],
)
def test_a_cause_is_found_by_its_words_and_not_by_a_name_among_them(text: str, cause: Cause | None) -> None:
    said = f'connection failed: connection to server at "refused.example", port 5432 failed: {text}'
    assert cause_in(said) is cause
