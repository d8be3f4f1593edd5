import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from operator_console.cli import main
from shared.ids import uuid7
from tests.support.databases import Database
from tests.support.outbox import Outbox

Outboxctl = Callable[..., Result]


@pytest.fixture
def outboxctl(database: Database) -> Outboxctl:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments), env={"DATABASE_URL": database.console_url})

    return run


def test_show_links_a_message_and_its_fallback(outbox: Outbox, outboxctl: Outboxctl) -> None:
    user_id = f"'{uuid7()}'"
    falls_back = {"fallback_channel": "'sms'", "fallback_lifetime": "'600 s'", "fallback_at": "now()"}
    [first] = outbox.put(user_id=user_id, **falls_back)
    before = json.loads(outboxctl("show", str(first), "--json").stdout)
    [second] = outbox.put(user_id=user_id, channel="sms", recipient="'+33612345678'", fallback_of=f"'{first}'")
    shown, other = (json.loads(outboxctl("show", str(one), "--json").stdout) for one in (first, second))
    assert (before["fallback_channel"], before["fell_back_to"]) == ("sms", None)
    assert before["fallback_at"] is not None
    assert (shown["fell_back_to"], shown["fallback_of"]) == (str(second), None)
    assert (other["fell_back_to"], other["fallback_of"]) == (None, str(first))


def test_a_requeued_message_has_no_fallback(outbox: Outbox, outboxctl: Outboxctl) -> None:
    falls_back = {"fallback_channel": "'sms'", "fallback_lifetime": "'600 s'", "fallback_at": "now()"}
    [message_id] = outbox.put(status="'dead'", dead_reason="'rejected'", settled_at="now()", **falls_back)
    assert outboxctl("requeue", str(message_id), "--reason", "mailbox exists now").exit_code == 0
    assert outbox.row(message_id).fallback_at is None
