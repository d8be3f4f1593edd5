"""`outbox-relay once` without what it needs: it ends, and says why; and what comes before a relay has begun."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import IN_FLIGHT, Outbox
from tests.support.relays import running_relay

pytestmark = pytest.mark.slow

ONCE = ("outbox-relay", "once")
# Gives up after a second instead of twenty.
IMPATIENT = "from outbox_relay import cli; from outbox_relay import once; once.OUTAGE_SECONDS = 1; cli.main(['once'])"
IMPATIENT_ONCE = ("python", "-c", IMPATIENT)
LACKING = {
    "a grant": "revoke all on outbox_messages from signpost_relay",
    "the schema": "drop table outbox_messages cascade",
    "the fallbacks' columns": "alter table outbox_messages rename fallback_at to fell_back_at",
}


@pytest.mark.parametrize("lacking", LACKING)
def test_sigterm_ends_it_though_it_waits_for_what_is_missing(outbox: Outbox, sink: MailSink, lacking: str) -> None:
    outbox.execute(LACKING[lacking])
    with running_relay(outbox.database, command=ONCE, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(lambda: relay.said("database lost"))
        relay.process.terminate()
        assert relay.process.wait(10) == 1
        assert [line["level"] for line in relay.said("database lost")] == ["error"]


@pytest.mark.parametrize("revoked", [LACKING["a grant"], "revoke update on outbox_messages from signpost_relay"])
def test_what_stays_missing_is_given_up_and_said(outbox: Outbox, sink: MailSink, revoked: str) -> None:
    outbox.put()
    outbox.execute(revoked)
    with running_relay(outbox.database, command=IMPATIENT_ONCE, EMAIL_PROVIDERS=sink.provider) as relay:
        assert relay.process.wait(60) == 1
        assert relay.said("given up")
    assert sink.arrived == {}


def test_what_is_there_again_in_time_is_waited_for_and_nothing_goes_out_twice(outbox: Outbox, sink: MailSink) -> None:
    ids = outbox.put(count=3)
    sink.hold()
    with running_relay(outbox.database, command=ONCE, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(lambda: outbox.number(IN_FLIGHT) == 3 and sink.connections)
        outbox.execute("revoke update on outbox_messages from signpost_relay")
        sink.release()
        eventually(lambda: relay.said("database lost"))
        outbox.execute("grant update on outbox_messages to signpost_relay")
        assert relay.process.wait(30) == 0
    assert sink.arrived == {f"{message_id}@signpost.example": 1 for message_id in ids}
    assert outbox.is_all_sent()


def test_a_reload_that_is_asked_for_before_the_relay_has_begun_comes_once_it_has(
    outbox: Outbox, sink: MailSink, tmp_path: Path
) -> None:
    pipe, file = tmp_path / "providers", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_text(sink.provider)
    with running_relay(outbox.database, EMAIL_PROVIDERS_FILE=str(pipe)) as relay:
        with pipe.open("w") as writer:  # returns once the relay reads its settings
            file.rename(pipe)
            relay.process.send_signal(signal.SIGHUP)
            writer.write(sink.provider)
        eventually(lambda: relay.said("relay reloaded"))
        outbox.put()
        eventually(outbox.is_all_sent)
