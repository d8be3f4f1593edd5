"""The console without a database: settings, formats, problem types."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from operator_console.errors import ActionError
from operator_console.settings import WebSettings, WebSettingsSchema
from operator_console.web.cli import main
from operator_console.web.errors import Code, ViolationCode
from operator_console.web.labels import DEAD_REASONS, format_duration, format_number, format_time
from operator_console.web.problems import PROBLEM_TYPES, VIOLATIONS
from operator_console.web.sessions import csrf_token_of, is_csrf_token
from shared.settings import SettingsError
from shared.vocabulary import DeadReason
from shared.web.problems import CommonCode

ENVIRONMENT = {"DATABASE_URL": "postgresql+psycopg://console@nowhere/signpost"}


def read(**environment: str) -> WebSettings:
    settings: WebSettings = WebSettingsSchema().read(ENVIRONMENT | environment)
    return settings


def test_by_default_the_console_listens_on_loopback_and_sessions_end() -> None:
    settings = read()
    assert settings.bind == ("127.0.0.1", 8001)
    assert (settings.session_idle_minutes, settings.session_hours) == (30, 12)
    assert not settings.is_https


def test_the_idle_time_cannot_exceed_the_session_lifetime() -> None:
    with pytest.raises(SettingsError, match="CONSOLE_SESSION_IDLE_MINUTES=120 is above CONSOLE_SESSION_HOURS=1"):
        read(CONSOLE_SESSION_IDLE_MINUTES="120", CONSOLE_SESSION_HOURS="1")


def test_all_settings_errors_are_reported_together() -> None:
    environment = {"CONSOLE_BIND": "8001", "CONSOLE_URL": "console", "DATABASE_URL": ""}
    result = CliRunner().invoke(main, ["check-settings"], env=environment)
    assert result.exit_code == 2
    assert [line.split()[1].partition("=")[0] for line in result.stderr.splitlines()] == [
        "DATABASE_URL",
        "CONSOLE_BIND",
        "CONSOLE_URL",
    ]


def test_every_code_has_a_problem_type() -> None:
    assert set(PROBLEM_TYPES) == {*CommonCode, *Code}
    assert set(VIOLATIONS) == set(ViolationCode)
    assert {Code(error.code) for error in ActionError.__subclasses__()} <= set(PROBLEM_TYPES)


def test_every_dead_reason_has_a_label() -> None:
    assert set(DEAD_REASONS) == set(DeadReason)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")]
)
def test_durations_are_shown_in_suitable_units(seconds: float, words: str) -> None:
    assert format_duration(seconds) == format_duration(timedelta(seconds=seconds)) == words


def test_a_time_of_another_year_shows_the_year() -> None:
    moment = datetime(2025, 12, 31, 23, 59, 7, tzinfo=UTC)
    assert (format_time(moment, 2025), format_time(moment, 2026)) == ("31 Dec 23:59:07", "31 Dec 2025 23:59:07")


def test_thousands_are_separated() -> None:
    assert format_number(1234567).split("\N{NARROW NO-BREAK SPACE}") == ["1", "234", "567"]


def test_a_csrf_token_belongs_to_one_session() -> None:
    assert is_csrf_token(csrf_token_of("a"), "a")
    assert not is_csrf_token(csrf_token_of("a"), "b")
    assert not is_csrf_token("ä", "a")
    assert "a" not in (csrf_token_of("a"), csrf_token_of("b"))
