"""A relay process with invalid rows: each row harms only itself."""

import json
from typing import Any

import psycopg
import pytest

from outbox_relay.model import FailureClass
from shared.vocabulary import Status
from tests.support.eventually import eventually
from tests.support.keys import KEY_ID
from tests.support.mail_sink import MailSink
from tests.support.outbox import UNSETTLED, Outbox
from tests.support.relays import running_relay

DEEP = f"'{'[' * 5000}{']' * 5000}'"


def written(**changes: Any) -> str:
    """Return a payload with these changes, as SQL."""
    return f"'{json.dumps({'name': 'Ada', 'key_id': KEY_ID} | changes)}'"


IMPOSSIBLE = [
    {"payload": "'null'"},
    {"payload": "'[]'"},
    {"payload": "'{}'"},
    {"payload": DEEP},
    {"payload": written(key_id=5)},
    {"payload": written(name=[])},
    {"token_id": "null"},
    {"expires_at": "null"},
    {"recipient": "''"},
    {"recipient": "repeat('a', 1000000) || '@example.org'"},
    {"recipient": "E'ada@example.org\\r\\nRCPT TO:<eve@example.org>'"},
]
ODD = [
    {"payload": written(name="A" * 1_000_000)},
    {"payload": written(more={"than": ["known"]})},
    {"created_at": "'1970-01-01'"},
    {"created_at": "now() + interval '1 day'"},
    {"due_at": "'0001-01-02 00:00+00'"},
    {"expires_at": "'9998-12-31'"},
    {"max_attempts": "0"},
]
"""Odd payloads that can still be delivered."""


def test_rows_that_cannot_be_rendered_die_and_harm_no_other_message(outbox: Outbox, sink: MailSink) -> None:
    impossible = {outbox.put(**columns)[0] for columns in IMPOSSIBLE}
    odd = {outbox.put(**columns)[0] for columns in ODD} | set(outbox.put(count=5))
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(lambda: outbox.number(UNSETTLED) == 0)
        assert relay.logged("relay failed") == []
    fates = {row[0]: row[1:] for row in outbox.execute("select id, status, last_error_class from outbox_messages")}
    assert {fates[message_id] for message_id in odd} == {(Status.SENT, None)}
    assert {fates[message_id] for message_id in impossible} == {(Status.DEAD, FailureClass.CONTENT)}
    assert sink.arrived.total() == len(odd)


def test_the_table_rejects_an_unknown_priority(outbox: Outbox) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        outbox.put(priority="'later'")


@pytest.mark.parametrize("column", ["due_at", "created_at", "expires_at"])
@pytest.mark.parametrize("moment", ["infinity", "-infinity", "10000-01-01", "0044-03-15 BC"])
def test_the_table_rejects_times_outside_the_calendar(outbox: Outbox, column: str, moment: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        outbox.put(**{column: f"'{moment}'"})
