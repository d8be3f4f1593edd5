"""Ids of providers are stored unchanged, also with characters that are special in a PostgreSQL array."""

from outbox_relay.model import Sent
from tests.support.outbox import Outbox

WORDS = (
    "2.0.0 Ok: queued as 4ABC",
    'in "quotes"',
    "a\\b\\",
    "{braces, and commas}",
    "NULL",
    "",
    " spaced ",
    "naïve \N{SNOWMAN}",
    "'; --",
    "%s %(ids)s",
)


def test_ids_of_providers_are_stored_unchanged(outbox: Outbox) -> None:
    outbox.put(count=len(WORDS) + 1)
    messages = outbox.claim(100)
    provider_ids = dict(zip((message.id for message in messages), (*WORDS, None), strict=True))
    outbox.settle([(message, Sent('a "provider"', provider_ids[message.id])) for message in messages])
    stored = outbox.execute("select id, provider_message_id, provider from outbox_messages where status = 'sent'")
    assert {row[0]: row[1] for row in stored} == provider_ids
    assert {row[2] for row in stored} == {'a "provider"'}
