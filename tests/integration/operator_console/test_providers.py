import json

import pytest
from click.testing import CliRunner

from operator_console.cli import main
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.operators import lines_of, outboxctl
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

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
    result = CliRunner().invoke(main, ["providers", "list", "--json"], env={"DATABASE_URL": database.console_url})
    [shown] = [json.loads(line) for line in result.stdout.splitlines()]
    assert (shown["provider"], shown["breaker"], shown["rate"]) == ("smtp:mx:25", breaker, "14/s")
    assert shown["last_failure_class"] == ("provider" if breaker != "closed" else None)
    assert shown["last_error"] == ("no such host" if breaker != "closed" else None)
    assert shown["since"]


def test_a_provider_that_no_relay_has_configured_is_not_listed(outbox: Outbox, sink: MailSink) -> None:
    outbox.execute("insert into providers (name, seen_at) values ('smtp:removed:25', now() - interval '3 minutes')")
    outbox.execute(
        "insert into providers (name, seen_at) values (%s, now() - interval '3 days')", f"smtp:127.0.0.1:{sink.port}"
    )
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider):
        listed = eventually(lambda: lines_of(outboxctl(outbox.database, "providers", "list")))
    assert [one["provider"] for one in listed] == [f"smtp:127.0.0.1:{sink.port}"]
