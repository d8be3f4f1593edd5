import json

import pytest
from click.testing import CliRunner

from operator_console.cli import main
from tests.support.databases import Database

A_ROW = (
    "insert into providers (name, rate, consecutive_opens, open_until, last_failure_class, last_error)"
    " values ('smtp:mx:25', '14/s', "
)


@pytest.mark.parametrize(
    ("columns", "breaker"),
    [
        ("0, null, null, null", "closed"),
        ("2, now() + interval '1 hour', 'provider', 'no such host'", "open"),
        ("2, now() - interval '1 second', 'provider', 'no such host'", "half_open"),
    ],
)
def test_providers_shows_each_breaker(database: Database, columns: str, breaker: str) -> None:
    with database.connect() as owner:
        owner.execute(f"{A_ROW}{columns})")
    result = CliRunner().invoke(main, ["providers", "--json"], env={"DATABASE_URL": database.console_url})
    [shown] = [json.loads(line) for line in result.stdout.splitlines()]
    assert (shown["provider"], shown["breaker"], shown["rate"]) == ("smtp:mx:25", breaker, "14/s")
    assert shown["last_failure_class"] == ("provider" if breaker != "closed" else None)
    assert shown["last_error"] == ("no such host" if breaker != "closed" else None)
    assert shown["since"]
