import pytest

from tests.support.databases import is_refused
from tests.support.outbox import Outbox


@pytest.mark.parametrize(
    "statement",
    [
        "select * from users",
        "select * from tokens",
        "insert into outbox_messages (id) values (gen_random_uuid())",
        "delete from outbox_messages",
        "update outbox_messages set recipient = 'eve@example.org'",
        "update outbox_messages set payload = '{}'",
        "update delivery_attempts set error = ''",
        "select * from operator_actions",
        "delete from providers",
        "update providers set name = 'smtp:other:25'",
        "select signpost_supersede(gen_random_uuid(), gen_random_uuid())",
        "create table loot (id integer)",
    ],
)
def test_the_relay_may_do_no_more_than_deliver(outbox: Outbox, statement: str) -> None:
    assert is_refused(outbox.database.relay_url, statement)
