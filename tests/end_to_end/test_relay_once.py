"""`outbox-relay once` with missing tables or rights: it ends and logs why. Also signals during startup."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.outbox import IN_FLIGHT, Outbox
from tests.support.processes import SCRIPTS
from tests.support.relays import running_relay

pytestmark = pytest.mark.slow

ONCE = ("outbox-relay", "once")
# Times out after one second instead of twenty.
SHORT_TIMEOUT = (
    "from outbox_relay import cli; from outbox_relay import once; once.OUTAGE_SECONDS = 1; cli.main(['once'])"
)
ONCE_WITH_SHORT_TIMEOUT = ("python", "-c", SHORT_TIMEOUT)
MISSING = {
    "a grant": "revoke all on outbox_messages from signpost_relay",
    "the schema": "drop table outbox_messages cascade",
    "the fallbacks' columns": "alter table outbox_messages rename fallback_at to fell_back_at",
}
EVENTS = {"a grant": "database lost", "the schema": "schema too old", "the fallbacks' columns": "schema too old"}


@pytest.mark.parametrize("missing", MISSING)
def test_sigterm_ends_once_while_it_waits_for_the_database(outbox: Outbox, sink: MailSink, missing: str) -> None:
    outbox.execute(MISSING[missing])
    with running_relay(outbox.database, command=ONCE, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(lambda: relay.logged(EVENTS[missing]))
        relay.process.terminate()
        assert relay.process.wait(10) == 1
        assert [line["level"] for line in relay.logged(EVENTS[missing])] == ["error"]


@pytest.mark.parametrize("revoked", [MISSING["a grant"], "revoke update on outbox_messages from signpost_relay"])
def test_once_times_out_when_a_right_stays_missing(outbox: Outbox, sink: MailSink, revoked: str) -> None:
    outbox.put()
    outbox.execute(revoked)
    with running_relay(outbox.database, command=ONCE_WITH_SHORT_TIMEOUT, EMAIL_PROVIDERS=sink.provider) as relay:
        assert relay.process.wait(60) == 1
        assert relay.logged("timed out")
    assert sink.arrived == {}


def test_once_waits_for_a_right_to_return_and_sends_each_message_once(outbox: Outbox, sink: MailSink) -> None:
    ids = outbox.put(count=3)
    sink.hold()
    with running_relay(outbox.database, command=ONCE, EMAIL_PROVIDERS=sink.provider) as relay:
        eventually(lambda: outbox.number(IN_FLIGHT) == 3 and sink.connections)
        outbox.execute("revoke update on outbox_messages from signpost_relay")
        sink.release()
        eventually(lambda: relay.logged("database lost"))
        outbox.execute("grant update on outbox_messages to signpost_relay")
        assert relay.process.wait(30) == 0
    assert sink.arrived == {f"{message_id}@signpost.example": 1 for message_id in ids}
    assert outbox.is_all_sent()


def test_a_reload_signal_during_startup_takes_effect_after_startup(
    outbox: Outbox, sink: MailSink, tmp_path: Path
) -> None:
    pipe, file = tmp_path / "providers", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_text(sink.provider)
    command = (str(SCRIPTS / "outbox-relay"), "run")  # with its imports, which precede the handler of the signal
    with running_relay(outbox.database, command=command, EMAIL_PROVIDERS_FILE=str(pipe)) as relay:
        with pipe.open("w") as writer:  # blocks until the relay reads its settings
            file.rename(pipe)
            relay.process.send_signal(signal.SIGHUP)
            writer.write(sink.provider)
        eventually(lambda: relay.logged("relay reloaded"))
        outbox.put()
        eventually(outbox.is_all_sent)
