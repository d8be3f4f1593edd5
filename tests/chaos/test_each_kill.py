"""Kill two relays twice while they deliver six hundred messages, and compare the number of copies with each kill."""

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import IN_FLIGHT, Outbox
from tests.support.relays import running_relay


def test_each_kill_duplicates_at_most_the_messages_in_flight(outbox: Outbox, sink: MailSink) -> None:
    ids = outbox.put(count=600)
    settings = {
        "EMAIL_PROVIDERS": sink.provider,
        "RELAY_BATCH_SIZE": "20",
        "RELAY_LEASE_SECONDS": "3",
        "RELAY_SEND_SECONDS": "1",
        "RELAY_CONNECTIONS": "2",
    }
    in_flight = 0
    for kill in range(1, 3):
        with running_relay(outbox.database, **settings) as one, running_relay(outbox.database, **settings) as other:
            eventually(lambda kill=kill: len(sink.arrived) >= 200 * kill, seconds=30)
            one.kill()
            other.kill()
            in_flight += outbox.number(IN_FLIGHT)
    with running_relay(outbox.database, **settings), running_relay(outbox.database, **settings):
        eventually(outbox.is_all_sent, seconds=30)
    assert sink.arrived.keys() == {f"{message_id}@signpost.example" for message_id in ids}
    assert sink.arrived.total() - len(ids) <= in_flight
    assert outbox.number("select count(*) from outbox_messages") == len(ids)
