"""From an event of a mail provider to the delivery state of its message."""

import time

from outbox_relay.model import Sent
from receiver.callbacks.settings import CallbackSettingsSchema
from tests.support.callbacks import callback_app, receiver_settings
from tests.support.delivery_reports import apply_reports
from tests.support.mail_webhooks import mail_settings, sendgrid, sendgrid_event
from tests.support.outbox import Outbox


def test_events_change_the_state_of_a_message_and_those_about_a_former_recipient_do_not(outbox: Outbox) -> None:
    database = outbox.database
    outbox.put(recipient="'Ada@example.org'")
    [message] = outbox.claim()
    delivered = {"event": "delivered", "reason": None, "status": None, "signpost_message_id": str(message.id)}
    # SendGrid writes addresses in lower case.
    first = sendgrid([sendgrid_event(**delivered, email="ada@example.org")], time.time())
    about_another = sendgrid_event(signpost_message_id=str(message.id), email="former@example.org")
    with callback_app(database, **mail_settings()) as app:
        for body, headers in (first, sendgrid([about_another], time.time())):
            assert app.test_client().post("/callbacks/sendgrid", data=body, headers=headers).status_code == 200
    outbox.settle([(message, Sent("sendgrid:api.sendgrid.com", "14c5d75ce93"))])
    keys = CallbackSettingsSchema().read(receiver_settings(database)).feedback_keys
    assert apply_reports(database, keys) == 2
    assert outbox.execute("select state, source from delivery_states") == [("delivered", "sendgrid")]
    assert outbox.execute("select kind, ignored_because from delivery_reports order by kind") == [
        ("bounced", "other_recipient"),
        ("delivered", None),
    ]
