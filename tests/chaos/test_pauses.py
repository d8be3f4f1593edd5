"""An operator pauses a provider during a drain. Its relays are killed and replaced, and it still gets no message."""

from tests.support.conservation import Ledger, conserved
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relay_group import RelayGroup, relay_group
from tests.support.relays import relay_once

MESSAGES = 400
RELAYS = 2
PAUSE = "insert into pauses (kind, name, operator, reason) values ('provider', %s, 'ada', 'maintenance')"
HAVE_STARTED = "select count(*) from relays where seen_at > now() - interval '1 minute'"
LEASED = "select count(*) from outbox_messages where status = 'pending' and leased_until > now()"
SPENT = "select count(*) from outbox_messages where status = 'pending' and attempt > 0"


def is_paused(group: RelayGroup) -> bool:
    return all(relay.logged("paused") for relay in group.relays)


def test_no_message_is_lost_or_submitted_while_a_provider_is_paused_and_relays_are_killed(
    ledger: Ledger, sink: MailSink
) -> None:
    outbox, name = Outbox(ledger.database), f"smtp:127.0.0.1:{sink.port}"
    ledger.enqueue(MESSAGES, rolled_back=10)
    sink.reply_seconds = 0.02
    with relay_group(RELAYS, ledger.database, EMAIL_PROVIDERS=sink.provider) as group:
        eventually(lambda: sink.arrived.total() >= MESSAGES / 8)
        outbox.execute(PAUSE, name)
        eventually(lambda: is_paused(group))
        ledger.note_disturbance()
        for number in range(RELAYS):
            group.kill(number)
        eventually(lambda: sink.open_connections == 0)
        before = sink.arrived.total()
        assert before < MESSAGES
        for number in range(RELAYS):
            group.replace(number)
        eventually(lambda: is_paused(group))
        # The leases of the killed relays end, and no other relay takes the messages.
        eventually(lambda: outbox.number(LEASED) == 0, seconds=30)
        assert relay_once(ledger.database, EMAIL_PROVIDERS=sink.provider) == 1
        assert sink.arrived.total() == before
        assert outbox.number(SPENT) == 0
        outbox.execute("delete from pauses")
        eventually(outbox.is_all_sent, seconds=60)
    tally = conserved(ledger, sink)
    assert (tally.dead, tally.pending, tally.poisoned) == (0, 0, 0)
