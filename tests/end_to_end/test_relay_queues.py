"""Messages with high priority overtake those with low priority."""

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox
from tests.support.relays import running_relay

NOTICES = 2000


def test_a_code_overtakes_notices_that_wait_for_a_slow_server(outbox: Outbox, sink: MailSink) -> None:
    sink.reply_seconds = 0.05
    outbox.put(count=NOTICES, priority="'low'")
    with running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider):
        eventually(lambda: sink.arrived.total() >= 20)
        [code] = outbox.put()
        outbox.execute("select pg_notify('signpost_outbox', '')")
        eventually(lambda: outbox.row(code).status == "sent")
        assert sink.arrived.total() < NOTICES / 2
        assert outbox.execute("select channel, pending > %s from outbox_backlog", NOTICES / 2) == [("email", True)]
