"""Messages for a slow provider stay in the outbox, not in the relay's memory."""

from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

pytestmark = pytest.mark.slow

BATCH = 200
MAILS = 5000
TEXTS = 500

# The number of leased rows after each claim, as the claim itself sees it.
NOTE_CLAIMS = """
create index on outbox_messages (channel) where lease_token is not null;
create table claims_seen (channel text, leased integer);
create function note_claim() returns trigger language plpgsql security definer as $$ begin
    insert into claims_seen select channel, count(*) from outbox_messages where lease_token is not null group by 1;
    return null;
end $$;
create trigger note_claim after update on outbox_messages execute function note_claim();
"""
MOST_MAILS_LEASED = "select max(leased) from claims_seen where channel = 'email'"
CLAIMS_OF_MAIL = "select count(distinct lease_token) from outbox_messages where channel = 'email'"
TEXTS_UNSENT = "select count(*) from outbox_messages where channel = 'sms' and status <> 'sent'"


def test_a_backlog_for_a_slow_provider_stays_unclaimed_and_blocks_no_other_channel(
    outbox: Outbox, sink: MailSink, tmp_path: Path
) -> None:
    outbox.execute(NOTE_CLAIMS)
    outbox.put(count=MAILS)
    sink.hold_final_replies()
    settings = {"EMAIL_PROVIDERS": sink.provider, "SMS_PROVIDERS": f"file://{tmp_path}", "RELAY_BATCH_SIZE": str(BATCH)}
    with running_relay(outbox.database, **settings):
        eventually(lambda: sink.arrived.total() > 0)
        outbox.put(count=TEXTS, channel="sms", recipient="'+33612345678'")
        eventually(lambda: outbox.number(TEXTS_UNSENT) == 0)
        # The mail consumer has received as many wake signals as the SMS consumer, and polled as well.
        assert outbox.number(CLAIMS_OF_MAIL) <= 2
        assert outbox.number("select count(*) from outbox_messages where lease_token is not null") <= 2 * BATCH
        sink.release()
        eventually(outbox.is_all_sent, seconds=60)
    assert BATCH <= outbox.number(MOST_MAILS_LEASED) <= 2 * BATCH
    assert sink.arrived.total() == MAILS
